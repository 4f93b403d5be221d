"""NSIM, the structural similarity of two spectrogram patches (Hines and Harte 2012)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_CORNER, _EDGE, _MIDDLE = 0.0113033910173052, 0.0838251475442633, 0.619485845753726
_INTENSITY_FLOOR = 0.01**2
_STRUCTURE_FLOOR = 0.03**2 / 2


@dataclass(frozen=True)
class Patches:
    """Patches, (..., bands, frames), with the local means and variances that NSIM needs."""

    values: Array
    means: Array
    variances: Array

    @classmethod
    def of(cls, values: Array) -> "Patches":
        """Measure patches."""
        means = _smooth(values)
        return cls(values, means, _smooth(values * values) - means * means)


def band_similarities(reference: Patches, degraded: Patches) -> Array:
    """Return NSIM per band, (..., bands): the mean over frames of intensity times structure."""
    product = reference.means * degraded.means
    intensity = (2 * product + _INTENSITY_FLOOR) / (
        reference.means**2 + degraded.means**2 + _INTENSITY_FLOOR
    )
    covariance = _smooth(reference.values * degraded.values) - product
    variances = reference.variances * degraded.variances
    # Rounding can make the variance of a flat patch negative.
    spread = np.sqrt(np.maximum(variances, 0.0)) + _STRUCTURE_FLOOR
    return (intensity * (covariance + _STRUCTURE_FLOOR) / spread).mean(-1)


def _smooth(values: Array) -> Array:
    """Weigh each point and its 8 neighbours; the border repeats itself."""
    padded = np.concatenate((values[..., :1], values, values[..., -1:]), -1)
    sides = padded[..., :-2] + padded[..., 2:]
    plain, outer = _above_and_below(values), _above_and_below(sides)
    return _MIDDLE * values + _EDGE * (sides + plain) + _CORNER * outer


def _above_and_below(values: Array) -> Array:
    padded = np.concatenate((values[..., :1, :], values, values[..., -1:, :]), -2)
    return padded[..., :-2, :] + padded[..., 2:, :]
