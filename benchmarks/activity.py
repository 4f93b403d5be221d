"""Source activity detection: audio seconds a second, on a short stem and on a long one."""

from pathlib import Path

import numpy as np
import soundfile

from apollo_data.activity.detect import detect
from apollo_data.settings import ActivitySettings
from benchmarks.figure import Figure, seconds

_RATE = 44100
_SHORT_SECONDS, _LONG_SECONDS = 180, 1200


def measure(folder: Path) -> list[Figure]:
    """Detect with `energy`, beside a plain read of the same file."""
    chance = np.random.default_rng(0)
    second = chance.normal(0, 0.1, (_RATE, 2)).astype(np.float32)
    short, long = folder / "short.wav", folder / "long.wav"
    for path, length in ((short, _SHORT_SECONDS), (long, _LONG_SECONDS)):
        with soundfile.SoundFile(path, "w", _RATE, 2, "PCM_16") as out:
            for number in range(length):
                out.write(second * (number % 7 > 1))
    settings = ActivitySettings(detector="energy")
    rate = _SHORT_SECONDS / seconds(lambda: detect([short], "bass", settings))
    slow = _LONG_SECONDS / seconds(lambda: detect([long], "bass", settings), rounds=1)
    read = _SHORT_SECONDS / seconds(lambda: soundfile.read(short, dtype="float32"))
    return [
        Figure("SAD (energy), 3 min", rate, "audio s/s", read, "soundfile.read of the file"),
        Figure("SAD (energy), 20 min", slow, "audio s/s", rate, "the same on 3 min"),
    ]
