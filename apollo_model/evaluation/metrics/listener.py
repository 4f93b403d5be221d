"""Zimtohrli, a second opinion on what a listener would say; optional."""

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

_RATE = 48000


def has_zimtohrli() -> bool:
    """Tell whether the package is installed (pip install 'apollo-toolkit[zimtohrli]')."""
    return importlib.util.find_spec("zimtohrli") is not None


class ZimtohrliReference:
    """A target, mixed to mono at 48 kHz, for many estimates.

    Parameters
    ----------
    target
        (channels, samples) with full scale 1.0.
    sample_rate
        In Hz.
    """

    def __init__(self, target: npt.NDArray[Any], sample_rate: int) -> None:
        import zimtohrli

        self._module = zimtohrli
        self._model = zimtohrli.Pyohrli()
        self._sample_rate = sample_rate
        self._target = self._mono(target)

    def score(self, estimate: npt.NDArray[Any]) -> float:
        """Return the opinion score of an estimate, 1 (bad) to 5 (identical)."""
        distance = self._model.distance(self._target, self._mono(estimate))
        return float(self._module.mos_from_zimtohrli(distance))

    def _mono(self, audio: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        mono = audio.mean(0, dtype=np.float64)
        return soxr.resample(mono, self._sample_rate, _RATE).astype(np.float32)
