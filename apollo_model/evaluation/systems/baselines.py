"""Baselines without a network: the identity, and spectral band replication by copy-up."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.signal

from apollo_data.storage import key_of
from apollo_model.evaluation.pairs import Pair
from apollo_model.evaluation.systems.system import Restored, System

Array = npt.NDArray[Any]

IDENTITY = "identity"
COPY_UP = "copy-up"

_WINDOW = 2048
_HOP = 512
_DROP_DB = 15.0
_BANDS_BEFORE = 4
_BAND_BINS = 12  # about 250 Hz
_LOWEST_HZ = 1000.0
_MOST_FALL_DB = 10.0


class Identity(System):
    """Gives back what it was given; must score what the codec scores."""

    kind = "baseline"

    @property
    def key(self) -> str:
        """It has no settings."""
        return IDENTITY

    def restore(self, coded: Array, sample_rate: int, pair: Pair) -> Restored:
        """Return the coded clip."""
        del sample_rate, pair
        return Restored(np.asarray(coded))


class CopyUp(System):
    """Spectral band replication without side information (after Dietz et al. 2002).

    The half of the spectrum below the codec's edge is copied upwards until Nyquist, and falls
    as the spectrum did below the edge.
    """

    kind = "baseline"

    @property
    def key(self) -> str:
        """The method, by number."""
        return key_of(COPY_UP, 1)

    def restore(self, coded: Array, sample_rate: int, pair: Pair) -> Restored:
        """Fill the spectrum above the clip's own edge."""
        del pair
        return Restored(copy_up(coded, sample_rate))


def copy_up(coded: Array, sample_rate: int) -> Array:
    """Fill the empty top of a spectrum from the half below it; a full one stays as it is.

    Parameters
    ----------
    coded
        (channels, samples).
    sample_rate
        In Hz.
    """
    transform = scipy.signal.ShortTimeFFT(
        scipy.signal.get_window("hann", _WINDOW), _HOP, sample_rate
    )
    spectrum = transform.stft(coded)  # (channels, bins, frames)
    power = (np.abs(spectrum) ** 2).mean((0, 2))
    edge = _edge_bin(power)
    lowest = round(_LOWEST_HZ * _WINDOW / sample_rate)
    if edge >= len(power) - _BAND_BINS or edge < lowest:
        return np.array(coded)
    source = np.arange(edge // 2, edge)
    falling = _decay_per_bin(power, source)
    for start in range(edge, len(power), len(source)):
        bins = np.arange(start, min(start + len(source), len(power)))
        gain = np.sqrt(falling ** (bins - source[: len(bins)]))
        spectrum[:, bins] += gain[:, None] * spectrum[:, source[: len(bins)]]
    filled = transform.istft(spectrum, k1=coded.shape[-1])
    return filled.astype(np.float32)


def _edge_bin(power: Array) -> int:
    """Return the bin above which all is 15 dB below the kilohertz before it, or their number."""
    count = len(power) // _BAND_BINS
    bands = 10 * np.log10(power[: count * _BAND_BINS].reshape(count, -1).mean(-1) + 1e-20)
    above = np.maximum.accumulate(bands[::-1])[::-1]  # the loudest from here on
    windows = np.lib.stride_tricks.sliding_window_view(bands, _BANDS_BEFORE)
    drops = np.median(windows[:-1], -1) - above[_BANDS_BEFORE:]
    found = np.flatnonzero(drops > _DROP_DB)
    return int((found[-1] + _BANDS_BEFORE) * _BAND_BINS) if len(found) else len(power)


def _decay_per_bin(power: Array, source: Array) -> float:
    """Return the factor by which power falls from bin to bin below the edge.

    It neither rises nor, where the codec has thinned out the top, falls by more than 10 dB.
    """
    slope = np.polyfit(source, np.log(power[source] + 1e-20), 1)[0]
    steepest = -_MOST_FALL_DB / 10 * np.log(10) / len(source)
    return float(np.exp(np.clip(slope, steepest, 0.0)))
