"""The length that a WAV file's header states, against what the file holds."""

import struct
from dataclasses import dataclass
from pathlib import Path

from apollo_data.errors import AudioError

# Sizes that programs write when they cannot go back to the header: ffmpeg, sox, Python, others.
_NEAR_LIMIT = 4096
_LIMITS = (0x7FFFFFFF, 0xFFFFFFFF)
_MOST_JUNK_BYTES = 1024
_PROBE_BYTES = 1 << 16


def is_unknown_length(size: int) -> bool:
    """Tell whether a data size in a 32-bit header means that the length was not known.

    Examples
    --------
    >>> is_unknown_length(0xFFFFFFFF), is_unknown_length(0x7FFFF000), is_unknown_length(529200)
    (True, True, False)
    """
    return size == 0 or any(0 <= limit + 1 - size <= _NEAR_LIMIT for limit in _LIMITS)


@dataclass(frozen=True)
class DataChunk:
    """Where a WAV file's samples begin, how many bytes it states of them; its byte order."""

    start: int
    size: int
    order: str


def data_chunk(path: Path) -> DataChunk | None:
    """Return the data chunk of a RIFF WAV file; None for other files, or where there is none."""
    with path.open("rb") as source:
        head = source.read(12)
        if head[:4] not in (b"RIFF", b"RIFX") or head[8:12] != b"WAVE":
            return None
        order = ">" if head[:4] == b"RIFX" else "<"
        place = len(head)
        while len(chunk := source.read(8)) == 8:
            size = struct.unpack(f"{order}I", chunk[4:])[0]
            if chunk[:4] == b"data":
                return DataChunk(place + 8, size, order)
            place += 8 + size + size % 2
            source.seek(place)
    return None


def check_wav_length(path: Path) -> None:
    """Compare the data size in a RIFF header with the file's size.

    libsndfile takes what the header states and silently leaves the rest, as in a WAV file of more
    than 4 GiB, whose header holds the size modulo 2**32.

    Raises
    ------
    AudioError
        The file is shorter than its header says, or holds more sound than that.
    """
    if (chunk := data_chunk(path)) is None:
        return
    there = path.stat().st_size - chunk.start
    if is_unknown_length(chunk.size) and chunk.size != there:
        return
    if chunk.size > there:
        raise AudioError(
            f"{path}: is truncated: its header promises {chunk.size} bytes of samples, "
            f"{there} are there"
        )
    if rest := _bytes_after(path, chunk):
        raise AudioError(
            f"{path}: its header states {chunk.size} bytes of samples, but {rest} more bytes "
            "follow; a WAV file cannot state more than 4 GiB: write it as RF64, W64 or FLAC"
        )


def _bytes_after(path: Path, data: DataChunk) -> int:
    """Return how many bytes follow the samples that are no chunks, as far as they may be sound."""
    end = path.stat().st_size
    place = data.start + data.size + data.size % 2
    with path.open("rb") as source:
        while place + 8 <= end:
            source.seek(place)
            chunk = source.read(8)
            length = struct.unpack(f"{data.order}I", chunk[4:])[0]
            if not _is_chunk(chunk[:4]) or place + 8 + length > end + 1:
                break
            place += 8 + length + length % 2
        rest = max(0, end - place)
        source.seek(place)
        is_sound = rest > _PROBE_BYTES or (rest > _MOST_JUNK_BYTES and any(source.read(rest)))
    return rest if is_sound else 0


def _is_chunk(name: bytes) -> bool:
    return all(32 <= letter < 127 for letter in name)
