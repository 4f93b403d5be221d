"""Batched MP3 round trips beside one process each way and clip, with the same ffmpeg."""

import functools
import subprocess
from pathlib import Path

import numpy as np

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.codec.round_trip import round_trip
from apollo_data.parallel import parallel_map
from apollo_data.records import Coding
from apollo_data.settings import CodecSettings
from benchmarks.figure import Figure, seconds

_CLIPS = 32
_RATE = 44100


def measure(folder: Path) -> list[Figure]:
    """Code clips of 3 s at 64 kbit/s both ways."""
    _batch(1)  # finds ffmpeg and its delay
    batched = seconds(lambda: _batch(_CLIPS))
    single = seconds(lambda: [_one(clip, folder) for clip in _clips()])
    name, plain = "MP3 round trips, 32 a process", "a process each way"
    list(parallel_map(_batch, [1] * 4, 2))  # starts the processes
    both = seconds(lambda: list(parallel_map(_batch, [_CLIPS] * 4, 2)))
    return [
        Figure(name, _CLIPS / batched, "clips/s", _CLIPS / single, plain),
        Figure("the same, 2 workers", 4 * _CLIPS / both, "clips/s", _CLIPS / single, plain),
    ]


@functools.cache
def _clips() -> list[np.ndarray]:
    chance = np.random.default_rng(0)
    return [chance.normal(0, 0.1, (2, 3 * _RATE)).astype(np.float32) for _ in range(_CLIPS)]


def _batch(count: int) -> int:
    clips = _clips()[:count]
    return len(round_trip(clips, [Coding("mp3", 64.0)] * count, _RATE, CodecSettings()))


def _one(clip: np.ndarray, folder: Path) -> np.ndarray:
    """Code one clip as one would by hand."""
    raw, coded = folder / "clip.f32", folder / "clip.mp3"
    clip.T.tofile(raw)
    quiet = [find_ffmpeg(), "-loglevel", "error", "-y"]
    sound = ["-f", "f32le", "-ac", "2", "-ar", str(_RATE)]
    encode = [*quiet, *sound, "-i", str(raw), "-b:a", "64k", str(coded)]
    subprocess.run(encode, check=True)
    subprocess.run([*quiet, "-i", str(coded), *sound, str(raw)], check=True)
    return np.fromfile(raw, np.float32).reshape(-1, 2).T
