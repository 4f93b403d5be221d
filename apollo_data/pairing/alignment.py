"""Find the delay between two recordings by whitened cross-correlation.

Both spectra are divided by their own local level before they are correlated, so that a
telephone line or a low-pass, which leave little of the energy, still leave a clear peak.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from apollo_data.audio.files import Samples

_SMOOTH_HERTZ = 2.7


@dataclass(frozen=True)
class Alignment:
    """`lag_samples` > 0 tells that the second recording is later; `correlation` is whitened."""

    lag_samples: int
    correlation: float


def align(first: Samples, second: Samples, rate: int, max_lag_samples: int) -> Alignment:
    """Return the lag within +-`max_lag_samples` at which two mono recordings agree best.

    Parameters
    ----------
    first, second
        (samples,) each, of the same sample rate.
    rate
        Samples per second.
    max_lag_samples
        How far to look.

    Returns
    -------
    Alignment
        The correlation is 1 for equal recordings, -1 with the polarity turned, and near 0
        for unrelated ones, whose largest value shrinks with the length (0.01 for 20 s).
    """
    correlation = correlate(first, second, rate, max_lag_samples)
    best = int(np.argmax(np.abs(correlation)))
    return Alignment(best - max_lag_samples, round(float(correlation[best]), 4))


def correlate(
    first: Samples, second: Samples, rate: int, max_lag_samples: int
) -> npt.NDArray[np.float32]:
    """Return the whitened correlation at all lags, (2 * max_lag_samples + 1,)."""
    size = scipy.fft.next_fast_len(len(first) + len(second), real=True)
    bins = max(3, round(_SMOOTH_HERTZ * size / rate))
    one, other = (_whiten(scipy.fft.rfft(item, size), bins) for item in (first, second))
    energy = np.sqrt(float(np.vdot(one, one).real) * float(np.vdot(other, other).real))
    if energy == 0.0:
        return np.zeros(2 * max_lag_samples + 1, np.float32)
    full = scipy.fft.irfft(other * one.conj(), size) * (size / (2.0 * energy))
    reach = min(max_lag_samples, size // 2 - 1)
    lags = np.zeros(2 * max_lag_samples + 1, np.float32)
    lags[max_lag_samples - reach : max_lag_samples] = full[-reach:] if reach else []
    lags[max_lag_samples : max_lag_samples + reach + 1] = full[: reach + 1]
    return lags


def _whiten(spectrum: npt.NDArray[np.complex64], bins: int) -> npt.NDArray[np.complex64]:
    """Divide by the level around each bin; what is 60 dB below the loudest bin stays small."""
    level = np.abs(spectrum)
    local = scipy.ndimage.uniform_filter1d(level, bins, mode="nearest")
    return spectrum / (local + 1e-3 * level.max() + 1e-20)
