"""Level and brightness of every 10-ms frame of a stem, without what cannot be heard."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from apollo_data.audio.audible import Highpass
from apollo_data.audio.files import Samples, probe, sound_blocks

BLOCK_SECONDS = 10.0
_SILENT_POWER = 1e-12  # -120 dB, far below 16-bit rounding
_AUDIBLE_SHARE = 0.5


@dataclass(frozen=True)
class Levels:
    """One value a frame of each.

    Attributes
    ----------
    level_db
        Mean square of both channels in dB full scale, at least -120, without an offset.
    brightness
        One minus the correlation of neighbouring samples: about 1 for white noise, 0.2 for
        pink noise, 0.01 for a tone of 1 kHz.
    frame_seconds
        True length of a frame, a whole number of samples.
    """

    level_db: npt.NDArray[np.floating]
    brightness: npt.NDArray[np.floating]
    frame_seconds: float


class LevelMeter:
    """Takes stereo blocks of whole frames, one after the other; keeps two numbers a frame.

    Of a frame whose power is mostly a constant offset, or movement below 20 Hz, only what is above
    counts.
    """

    def __init__(self, rate: int, frame_seconds: float) -> None:
        self.rate = rate
        self.frame = round(frame_seconds * rate)
        self._highpass = Highpass(rate)
        self._powers = [np.zeros(0, np.float32)]
        self._products = [np.zeros(0, np.float32)]

    def add(self, block: Samples) -> None:
        """Measure the whole frames of a (2, samples) block; only the last may have a rest."""
        powers, products = self._measure(block)
        heard_powers, heard_products = self._measure(self._highpass(block))
        inaudible = heard_powers < _AUDIBLE_SHARE * powers
        self._powers.append(np.where(inaudible, heard_powers, powers))
        self._products.append(np.where(inaudible, heard_products, products))

    def _measure(self, block: Samples) -> tuple[npt.NDArray[np.floating], ...]:
        """Return mean square and mean product of neighbouring samples, a value a frame each."""
        frames = block[:, : block.shape[1] // self.frame * self.frame]
        frames = frames.reshape(len(block), -1, self.frame)
        scale = np.float32(len(block) * self.frame)
        later, earlier = frames[..., 1:], frames[..., :-1]
        powers = np.einsum("cft,cft->f", frames, frames) / scale
        return powers, np.einsum("cft,cft->f", later, earlier) / scale

    def levels(self) -> Levels:
        """Return what was measured."""
        power = np.maximum(np.concatenate(self._powers), _SILENT_POWER)
        brightness = 1.0 - np.concatenate(self._products) / power
        return Levels(10.0 * np.log10(power), brightness, self.frame / self.rate)


def frame_blocks(files: Sequence[Path], rate: int, frame: int) -> Iterator[Samples]:
    """Yield the sum of `files` in stereo blocks of a whole number of frames of `frame` samples."""
    frames = max(1, round(BLOCK_SECONDS * rate / frame))
    return sound_blocks(files, rate, frames * frame / rate)


def measure_levels(files: Sequence[Path], frame_seconds: float) -> Levels:
    """Return the levels of the sum of `files`, read once at the first file's sample rate."""
    meter = LevelMeter(probe(files[0]).sample_rate, frame_seconds)
    for block in frame_blocks(files, meter.rate, meter.frame):
        meter.add(block)
    return meter.levels()
