"""Measures of one pair: peaks, loudness and the codec's spectral edge."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from apollo_data.audio.files import Samples

EDGE_DB = -20.0
"""A frequency counts as coded if the coded side is at most this far below the target there."""

Power = npt.NDArray[np.floating]

_EDGE_RATIO = 10.0 ** (EDGE_DB / 10.0)
_WINDOW_SAMPLES = 2048
_LOUDNESS_BLOCK_SECONDS = 0.4
_ROUNDING_POWER = (1.0 / 32767.0) ** 2 / 12.0  # of 16-bit samples, full scale 1.0


@dataclass(frozen=True)
class PairSound:
    """Measures of one pair as it is stored; what cannot be measured is NaN.

    Attributes
    ----------
    clean_peak_dbfs, coded_peak_dbfs
        Largest sample of each side.
    clean_lufs, coded_lufs
        Integrated loudness of each side.
    edge_hz
        Where the coded spectrum ends (see `spectral_edge_hz`).
    clean_edge_hz
        Where the target's own spectrum ends: no coded one can reach further.
    """

    clean_peak_dbfs: float
    coded_peak_dbfs: float
    clean_lufs: float
    coded_lufs: float
    edge_hz: float
    clean_edge_hz: float


def measure_pair(coded: Samples, clean: Samples, rate: int) -> PairSound:
    """Measure a pair, (channels, samples) each, at `rate` hertz."""
    frequencies, clean_power = mean_spectrum(clean, rate)
    coded_power = mean_spectrum(coded, rate)[1]
    return PairSound(
        clean_peak_dbfs=peak_dbfs(clean),
        coded_peak_dbfs=peak_dbfs(coded),
        clean_lufs=loudness_lufs(clean, rate),
        coded_lufs=loudness_lufs(coded, rate),
        edge_hz=spectral_edge_hz(frequencies, coded_power, clean_power),
        clean_edge_hz=spectral_edge_hz(frequencies, clean_power, clean_power),
    )


def peak_dbfs(audio: Samples) -> float:
    """Return the largest sample in dB full scale; NaN for silence."""
    peak = float(np.abs(audio).max())
    return 20.0 * np.log10(peak) if peak > 0.0 else float("nan")


def loudness_lufs(audio: Samples, rate: int) -> float:
    """Return the integrated loudness (ITU-R BS.1770-4); NaN below 0.4 s and for silence."""
    if audio.shape[1] < _LOUDNESS_BLOCK_SECONDS * rate:
        return float("nan")
    loudness = float(_meter(rate).integrated_loudness(audio.T.astype(np.float64)))
    return loudness if np.isfinite(loudness) else float("nan")


@functools.cache
def _meter(rate: int) -> Any:
    import pyloudnorm  # imported here: it takes most of a second

    return pyloudnorm.Meter(rate)


def mean_spectrum(audio: Samples, rate: int) -> tuple[Power, Power]:
    """Return frequencies in hertz and the mean power density there, over clip and channels.

    Welch's method with a Hann window of 2048 samples.
    """
    frequencies, power = scipy.signal.welch(audio, rate, nperseg=_WINDOW_SAMPLES)
    return frequencies, power.mean(axis=0)


def spectral_edge_hz(frequencies: Power, coded: Power, clean: Power) -> float:
    """Return the highest frequency at which the coded spectrum is within 20 dB of the clean one.

    Frequencies at which the clean spectrum is not 20 dB above the rounding noise of 16-bit
    samples are ignored: both sides hold that noise, so a missing band could not be seen.
    NaN if no frequency is left.
    """
    noise = _ROUNDING_POWER / frequencies[-1]  # spread evenly up to half the sample rate
    seen = clean * _EDGE_RATIO >= noise
    places = np.flatnonzero(seen & (coded >= clean * _EDGE_RATIO))
    return float(frequencies[places[-1]]) if len(places) else float("nan")
