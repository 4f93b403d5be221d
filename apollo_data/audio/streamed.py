"""Audio that was written to a pipe: its header lacks the length, which is added on reading."""

import functools
import io
import os
import signal
import struct
import subprocess
import threading
from pathlib import Path

import soundfile

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.audio.wav_header import data_chunk
from apollo_data.errors import AudioError

_UNKNOWN_FRAMES = 1 << 60  # libsndfile states more than this for a FLAC file without a length
_LONGEST_ID3_BYTES = 1 << 24
_BLOCK_BYTES = 1 << 20
_COUNT_SECONDS = 600.0
_MOST_FRAMES = (1 << 36) - 1  # of FLAC's 36 bits
_MOST_BYTES = (1 << 32) - 1  # of WAV's 32 bits


def open_sound(path: Path) -> soundfile.SoundFile:
    """Open a file with libsndfile; its name may hold any bytes, and its header lack the length.

    Raises
    ------
    AudioError
        The header lacks the length, and the samples cannot be counted.
    """
    source = soundfile.SoundFile(os.fsencode(path))
    if 0 < source.frames < _UNKNOWN_FRAMES:
        return source
    channels = source.channels
    source.close()
    state = path.stat()
    place, length = (
        _flac_length(path, channels, state.st_size, state.st_mtime_ns)
        if source.format == "FLAC"
        else _wav_length(path)
    )
    return soundfile.SoundFile(_Patched(path, place, length))


class _Patched(io.FileIO):
    """A file of which some bytes read as others."""

    def __init__(self, path: Path, place: int, content: bytes) -> None:
        super().__init__(os.fsencode(path), "rb")
        self._place, self._content = place, content

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        start = self.tell()
        count = super().readinto(view) or 0
        for number, value in enumerate(self._content, start=self._place - start):
            if 0 <= number < count:
                view[number] = value
        return count

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = max(0, os.fstat(self.fileno()).st_size - self.tell())
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])


def _wav_length(path: Path) -> tuple[int, bytes]:
    """Return where a WAV file's data size stands, and what it should be."""
    chunk = data_chunk(path)
    if chunk is None:
        return 0, b""
    there = min(path.stat().st_size - chunk.start, _MOST_BYTES)
    return chunk.start - 4, struct.pack(f"{chunk.order}I", there)


@functools.lru_cache(maxsize=4096)
def _flac_length(path: Path, channels: int, _bytes: int, _modified_ns: int) -> tuple[int, bytes]:
    """Return where a FLAC file's number of samples stands, and what it should be."""
    with path.open("rb") as source:
        head = source.read(10)
        skip = 0
        if head[:3] == b"ID3":
            digits = head[6:10]
            skip = 10 + sum(value << 7 * (3 - place) for place, value in enumerate(digits))
        source.seek(min(skip, _LONGEST_ID3_BYTES))
        start = skip + 21  # the fifth of its eight bytes: four bits of it, and four bytes more
        first = source.read(22)[21]
    frames = min(_count_frames(path, channels), _MOST_FRAMES)
    return start, bytes([first & 0xF0 | frames >> 32]) + struct.pack(">I", frames & 0xFFFFFFFF)


def _count_frames(path: Path, channels: int) -> int:
    """Decode a FLAC file once and count its samples per channel."""
    command = [find_ffmpeg(), "-v", "error", "-nostdin", "-protocol_whitelist", "file"]
    command += ["-format_whitelist", "flac", "-i", f"file:{path.resolve()}", "-f", "s16le"]
    command += ["-protocol_whitelist", "file,pipe", "pipe:1"]
    count = 0
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        limit = threading.Timer(_COUNT_SECONDS, process.kill)
        limit.start()
        while block := process.stdout.read(_BLOCK_BYTES):
            count += len(block)
        limit.cancel()
    if process.returncode == -signal.SIGKILL:
        raise AudioError(f"{path}: its samples could not be counted in {_COUNT_SECONDS:.0f} s")
    if not count:
        raise AudioError(f"{path}: holds no samples that can be decoded")
    return count // (2 * channels)
