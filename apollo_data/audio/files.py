"""Audio files: probe, read a stretch, read in blocks, decode, write.

A *sound* here is one or several files: the sources of a stem are summed on the fly.
Arrays are float32 of shape (channels, samples) with full scale 1.0.
"""

import errno
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from apollo_data.audio.ffmpeg import file_argument, run_ffmpeg
from apollo_data.audio.streamed import open_sound
from apollo_data.audio.tracks import DEMUXERS, audio_tracks, choose_track
from apollo_data.audio.wav_header import check_wav_length, is_unknown_length
from apollo_data.errors import AudioError, DataError
from apollo_data.storage import whole_file

Samples = npt.NDArray[np.float32]

_RESAMPLER_MARGIN_SAMPLES = 4096
# libsndfile takes what is there of a truncated file, and says so only in its notes.
_SHORT_DATA = re.compile(r"^\s*data : (\d+) \(should be (\d+)\)", re.MULTILINE)


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says."""

    sample_rate: int
    channels: int
    frames: int
    container: str
    encoding: str

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def probe(path: Path) -> AudioInfo:
    """Read a file's header; an `AudioError` says why it is no audio, or not all of it.

    What was written to a pipe and lacks its length is read to its end once, to count its samples.
    """
    if not path.is_file():
        raise AudioError(f"{path}: {'is no plain file' if path.exists() else 'no such file'}")
    try:
        with open_sound(path) as source:
            info = AudioInfo(
                source.samplerate, source.channels, source.frames, source.format, source.subtype
            )
            notes = source.extra_info
        check_wav_length(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: {_reason(path, error)}") from None
    if info.frames <= 0:
        raise AudioError(f"{path}: holds no samples")
    if (promise := _SHORT_DATA.search(notes)) and not is_unknown_length(int(promise[1])):
        raise AudioError(
            f"{path}: is truncated: its header promises {promise[1]} bytes of samples, "
            f"{promise[2]} are there"
        )
    return info


def _reason(path: Path, error: Exception) -> str:
    if not path.exists():
        return "no such file"
    if path.is_file() and path.stat().st_size == 0:
        return "is an empty file"
    if isinstance(error, soundfile.LibsndfileError):
        return f"cannot be read as audio ({error.error_string or 'its samples are damaged'})"
    return f"cannot be read ({error})"


LOSSLESS_BEGINNINGS = (b"RIFF", b"RF64", b"riff", b"FORM", b"fLaC")


def is_lossless(path: Path) -> bool:
    """Tell by its first bytes whether a file is WAV, W64, AIFF or FLAC, which can be read anywhere.

    Raises
    ------
    AudioError
        There is no such file, or nothing in it.
    """
    if not path.is_file():
        raise AudioError(f"{path}: {'is no plain file' if path.exists() else 'no such file'}")
    with path.open("rb") as source:
        first = source.read(4)
    if not first:
        raise AudioError(f"{path}: is an empty file")
    return first in LOSSLESS_BEGINNINGS


def decode(
    path: Path, out: Path, timeout_seconds: float = 3600.0, track: int | None = None
) -> None:
    """Decode any audio file that ffmpeg reads to a float WAV file of its own rate and channels.

    Parameters
    ----------
    track
        Number of the audio track, from 1; None takes the default one.

    Raises
    ------
    AudioError
        The file holds no audio that ffmpeg can decode.
    DataError
        The disk is full.
    """
    chosen = choose_track(path, audio_tracks(path), track)
    with whole_file(out) as temporary:
        source = ffmpeg.input(
            file_argument(path), protocol_whitelist="file", format_whitelist=DEMUXERS
        )
        place = f"a:{chosen.number - 1}" if chosen else "a"
        graph = source[place].output(
            file_argument(temporary), format="wav", acodec="pcm_f32le", rf64="auto"
        )
        try:
            run_ffmpeg(graph, timeout_seconds)
        except AudioError as error:
            if os.strerror(errno.ENOSPC) in str(error):
                raise DataError(f"{out}: cannot be written ({os.strerror(errno.ENOSPC)})") from None
            raise AudioError(f"{path}: cannot be decoded ({error})") from None
        try:
            probe(temporary)
        except AudioError:
            raise AudioError(f"{path}: holds no audio") from None


def files_of(root: Path, path: str, sources: Sequence[str]) -> list[Path]:
    """Return the files of a stem, mixture or clip whose paths are relative to `root`."""
    place = root / path
    return [place / source for source in sources] if sources else [place]


def read_sound(files: Sequence[Path], start_seconds: float, samples: int, rate: int) -> Samples:
    """Read one stretch of the sum of `files` in stereo, resampled where a file's rate differs.

    Only the stretch is read. Where it reaches past a file's end the file counts as silent.

    Parameters
    ----------
    files
        Mono or stereo files; mono counts as both channels.
    start_seconds
        Where the stretch begins.
    samples, rate
        Its length in samples at `rate` hertz.

    Returns
    -------
    Samples
        (2, samples) float32.

    Raises
    ------
    AudioError
        A file is missing, unreadable, neither mono nor stereo, or holds NaN or infinity.
    """
    start = round(start_seconds * rate)
    total = np.zeros((2, samples), np.float32)
    for file in files:
        total += _read_stereo(file, start, samples, rate)
    return total


def _read_stereo(path: Path, start: int, samples: int, rate: int) -> Samples:
    try:
        with open_sound(path) as source:
            audio = _read_at_rate(source, start, samples, rate)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: {_reason(path, error)}") from None
    if audio.shape[1] > 2:
        raise AudioError(f"{path}: has {audio.shape[1]} channels, expected 1 or 2")
    if not np.isfinite(audio).all():
        raise AudioError(f"{path}: holds NaN or infinite samples")
    stereo = np.zeros((2, samples), np.float32)
    stereo[:, : len(audio)] = audio.T
    return stereo


def _read_at_rate(source: Any, start: int, samples: int, rate: int) -> Samples:
    """Read (frames, channels) so that frame 0 lies at sample `start` of the resampled file.

    Reading begins at a frame whose time is a whole number of samples at both rates, with
    a margin longer than the resampler's filter, so that the stretch equals the same
    stretch of the whole file resampled at once.
    """
    if source.samplerate == rate:
        return _read_frames(source, start, samples)
    common = math.gcd(source.samplerate, rate)
    step_in, step_out = source.samplerate // common, rate // common
    first = max(0, (start - _RESAMPLER_MARGIN_SAMPLES) // step_out)
    last = math.ceil((start + samples + _RESAMPLER_MARGIN_SAMPLES) / step_out)
    audio = _read_frames(source, first * step_in, (last - first) * step_in)
    if not np.isfinite(audio).all():
        return audio  # refused by the caller, which knows the file's name
    skip = start - first * step_out
    return soxr.resample(audio, source.samplerate, rate)[skip : skip + samples]


def _read_frames(source: Any, start: int, frames: int) -> Samples:
    if start >= source.frames:
        return np.zeros((0, source.channels), np.float32)
    source.seek(start)
    return source.read(frames, dtype="float32", always_2d=True)


def sound_blocks(files: Sequence[Path], rate: int, block_seconds: float) -> Iterator[Samples]:
    """Yield the sum of `files` from start to end in stereo blocks; memory is one block.

    It lasts as long as the longest file; a shorter one is silent after its end. Each block but the
    last has ``round(block_seconds * rate)`` samples.
    """
    end = max(samples_at(probe(file), rate) for file in files)
    block = round(block_seconds * rate)
    for start in range(0, end, block):
        yield read_sound(files, start / rate, min(block, end - start), rate)


def samples_at(info: AudioInfo, rate: int) -> int:
    """Return how many samples a file has at `rate` hertz."""
    return info.frames * rate // info.sample_rate


def write_wav(path: Path, audio: Samples, rate: int, subtype: str = "PCM_16") -> None:
    """Write (channels, samples) as a WAV file, whole or not at all."""
    with whole_file(path) as temporary:
        soundfile.write(os.fsencode(temporary), audio.T, rate, subtype=subtype, format="WAV")
