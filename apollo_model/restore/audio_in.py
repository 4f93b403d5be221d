"""Any audio file, in blocks: lossless ones as they are, others decoded by ffmpeg first."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mutagen
import numpy as np
import soundfile

from apollo_data.audio.files import AudioInfo, Samples, decode, is_lossless, probe
from apollo_data.errors import AudioError

_BLOCK_SAMPLES = 1 << 18  # of all channels together
_UNKNOWN_FRAMES = 1 << 48  # a stream that was never told its length claims more
_RATES_HZ = (1000, 768_000)


@dataclass(frozen=True)
class OpenedAudio:
    """A file that can be read, in whose stead `path` stands if it had to be decoded."""

    source: Path
    path: Path
    info: AudioInfo


def open_audio(path: Path, scratch: Path) -> OpenedAudio:
    """Look at a file and make it readable.

    Parameters
    ----------
    scratch
        Folder for a decoded copy, float WAV, whose size is 4 bytes a sample.

    Raises
    ------
    AudioError
        It is no audio, holds none, or has a rate that cannot be meant.
    """
    readable = path
    if not is_lossless(path) or _is_endless(path):
        readable = scratch / "decoded.wav"
        decode(path, readable)
    info = probe(readable)
    low, high = _RATES_HZ
    if not low <= info.sample_rate <= high:
        raise AudioError(f"{path}: has {info.sample_rate} Hz, expected {low} to {high}")
    return OpenedAudio(path, readable, info)


def _is_endless(path: Path) -> bool:
    return probe(path).frames >= _UNKNOWN_FRAMES


def told_seconds(path: Path) -> float:
    """Return how long a file's own header says it lasts; 0 where it does not say."""
    if not path.is_file():  # a pipe would be waited for
        return 0.0
    try:
        return float(mutagen.File(path).info.length)
    except Exception:  # unknown, damaged or no file at all: it is only an estimate
        return 0.0


def missing_seconds(audio: OpenedAudio) -> float:
    """Return how much less could be decoded than the header promises, if it is worth a word."""
    missing = told_seconds(audio.source) - audio.info.seconds
    return missing if missing > max(0.5, 0.01 * audio.info.seconds) else 0.0


def read_blocks(audio: OpenedAudio) -> Iterator[Samples]:
    """Yield a file's sound, (channels, n) float32, from start to end.

    Raises
    ------
    AudioError
        It is damaged further on, or holds NaN or infinity.
    """
    frames = max(1024, _BLOCK_SAMPLES // audio.info.channels)
    done = 0
    try:
        with soundfile.SoundFile(str(audio.path)) as source:
            while len(block := source.read(frames, dtype="float32", always_2d=True)):
                if not np.isfinite(block).all():
                    raise AudioError(f"{audio.source}: holds NaN or infinite samples")
                done += len(block)
                yield block.T
    except (soundfile.LibsndfileError, OSError) as error:
        seconds = done / audio.info.sample_rate
        raise AudioError(f"{audio.source}: is damaged after {seconds:.1f} s ({error})") from None
    if done != audio.info.frames:
        raise AudioError(
            f"{audio.source}: is truncated: its header promises {audio.info.frames} samples,"
            f" {done} are there"
        )
