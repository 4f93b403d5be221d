"""Spectral metrics: what of the target's spectrum an estimate has, also above the codec's edge.

All look at the power of a short-time Fourier transform (2048 samples, Hann, a quarter of it as
hop). Power that is 70 dB below that of white noise as loud as the target counts as silence, so
that 16-bit rounding, which shards have and a decoder's own output has not, makes no difference.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import torch

from apollo_model.evaluation.metrics.fidelity import LIMIT_DB

Array = npt.NDArray[Any]
Audio = torch.Tensor | Array

WINDOW = 2048
HOP = WINDOW // 4
BAND_HZ = 250.0
FLOOR = 1e-7
"""-70 dB: what is below this share of the target's power as white noise is silence."""

RESOLUTIONS = (32, 64, 128, 256, 512, 1024, 2048)
"""Windows of the paper's reconstruction loss."""

_PRESENT = 0.1
_LEAST_MAGNITUDE = 1e-3
_HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def log_spectral_distance(estimate: Audio, target: Audio) -> float:
    """Return the log-spectral distance, mean over frames and channels; 0 is the best.

    It is the root mean square over frequency of the difference of log10 power, in the unit of
    the literature on bandwidth extension: 1.0 is 10 dB.

    Parameters
    ----------
    estimate, target
        (channels, samples) of one shape.

    Raises
    ------
    ValueError
        The shapes differ, the target is silent, or one is not finite.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((2, 44100))
    >>> round(log_spectral_distance(10 * noise, noise), 3)
    2.0
    """
    return SpectralReference(target).log_spectral_distance(Spectrum.of(estimate))


def multi_resolution_distance(estimate: Audio, target: Audio) -> float:
    """Return the error of STFT magnitudes relative to the target's, mean over seven windows.

    The paper's reconstruction loss of one clip: mean of mean||S_est| - |S|| / mean|S| over
    windows of 32 to 2048 samples; 0 is the best, silence scores 1. Parameters and errors are
    those of `log_spectral_distance`.
    """
    return SpectralReference(target).multi_resolution_distance(_values(estimate))


@dataclass(frozen=True)
class Spectrum:
    """The power of a sound's short-time Fourier transform, (channels, frames, bins)."""

    power: Array

    @classmethod
    def of(cls, audio: Audio) -> "Spectrum":
        """Analyse (channels, samples)."""
        values = _values(audio)
        # No frame reaches beyond the clip: its ends would look like sound at all frequencies.
        padded = np.pad(values, ((0, 0), (0, max(0, WINDOW - values.shape[-1]))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, -1)[:, ::HOP]
        spectrum = scipy.fft.rfft(frames * _HANN)
        return cls(spectrum.real**2 + spectrum.imag**2)


class SpectralReference:
    """A target whose spectra are kept, for many estimates.

    Parameters
    ----------
    target
        (channels, samples).
    coded
        The same as the codec left it; tells where the codec's edge is. Without it there is
        nothing above the edge.
    sample_rate
        In Hz.
    """

    def __init__(self, target: Audio, coded: Audio | None = None, sample_rate: int = 44100) -> None:
        self._target = _values(target)
        self._sample_rate = sample_rate
        power = float(np.mean(np.square(self._target, dtype=np.float64)))
        if not power:
            raise ValueError("silent reference")
        self._floor = np.float32(FLOOR * power * np.square(_HANN, dtype=np.float64).sum())
        self._spectrum = Spectrum.of(self._target)
        self._edge_hz = None if coded is None else self.spectral_edge_hz(Spectrum.of(coded))

    @cached_property
    def _logarithm(self) -> Array:
        return self._log(self._spectrum.power)

    @cached_property
    def _magnitudes(self) -> list[torch.Tensor]:
        return [_magnitudes(self._target, window) for window in RESOLUTIONS]

    @property
    def edge_hz(self) -> float | None:
        """Highest frequency that the codec left."""
        return self._edge_hz

    def log_spectral_distance(self, estimate: Spectrum) -> float:
        """Return the distance as `log_spectral_distance` defines it."""
        self._check(estimate)
        difference = self._log(estimate.power) - self._logarithm
        return float(np.sqrt(np.square(difference).mean(-1)).mean(dtype=np.float64))

    def multi_resolution_distance(self, estimate: Array) -> float:
        """Return the distance as `multi_resolution_distance` defines it."""
        if estimate.shape != self._target.shape:
            raise ValueError(_differ(estimate.shape, self._target.shape))
        ratios = []
        for window, wanted in zip(RESOLUTIONS, self._magnitudes, strict=True):
            size = wanted.mean().clamp(min=_LEAST_MAGNITUDE)
            ratios.append(float((_magnitudes(estimate, window) - wanted).abs().mean() / size))
        return float(np.mean(ratios))

    def spectral_edge_hz(self, estimate: Spectrum) -> float:
        """Return up to which frequency the estimate has at least a tenth of the target's power.

        In steps of 250 Hz; bands in which the target is silent do not count.
        """
        self._check(estimate)
        wanted, found = (
            self._bands(side.power.mean((0, 1))) for side in (self._spectrum, estimate)
        )
        present = (wanted > self._floor) & (found > _PRESENT * wanted)
        return (
            float((np.flatnonzero(present)[-1] + 1) * self._bins * self._bin_hz)
            if present.any()
            else 0.0
        )

    def level_error_above_db(self, estimate: Spectrum) -> float | None:
        """Return the mean absolute error of levels above the codec's edge, in dB; 0 is the best.

        Levels are those of bands of 250 Hz and frames of 46 ms in which the target sounds. None
        where there are none.
        """
        self._check(estimate)
        if self._edge_hz is None:
            return None
        first = round(self._edge_hz / self._bin_hz / self._bins)
        wanted, found = (
            np.maximum(self._bands(side.power)[..., first:], self._floor)
            for side in (self._spectrum, estimate)
        )
        sounding = wanted > self._floor
        if not sounding.any():
            return None
        return float(np.abs(10 * np.log10(found[sounding] / wanted[sounding])).mean())

    def waveform_error_db(self, estimate: Array, above: bool) -> float | None:
        """Return the power of the error relative to the target's, above or below the codec's edge.

        In dB: 0 is what silence scores, and a fill with the right levels and wrong phases
        scores +3. None where the target is silent there.
        """
        if estimate.shape != self._target.shape:
            raise ValueError(_differ(estimate.shape, self._target.shape))
        if self._edge_hz is None:
            return None
        edge = round(self._edge_hz * self._target.shape[-1] / self._sample_rate)
        side = slice(edge, None) if above else slice(0, edge)
        wanted = self._long_spectrum[:, side]
        error = scipy.fft.rfft(estimate.astype(np.float64))[:, side] - wanted
        power, total = (float((np.abs(part) ** 2).sum()) for part in (wanted, self._long_spectrum))
        if power <= FLOOR * total * max(wanted.shape[-1], 1) / self._long_spectrum.shape[-1]:
            return None
        smallest = power * 10 ** (-LIMIT_DB / 10)
        return float(10 * np.log10(max(float((np.abs(error) ** 2).sum()), smallest) / power))

    @cached_property
    def _long_spectrum(self) -> Array:
        return scipy.fft.rfft(self._target.astype(np.float64))

    @property
    def _bin_hz(self) -> float:
        return self._sample_rate / WINDOW

    @property
    def _bins(self) -> int:
        """Bins of a band."""
        return max(1, round(BAND_HZ / self._bin_hz))

    def _bands(self, power: Array) -> Array:
        """Return the mean power of each band, (..., bands), without the odd bins at the top."""
        count = power.shape[-1] // self._bins
        return power[..., : count * self._bins].reshape(*power.shape[:-1], count, -1).mean(-1)

    def _log(self, power: Array) -> Array:
        return np.log10(np.maximum(power, self._floor))

    def _check(self, estimate: Spectrum) -> None:
        if estimate.power.shape != self._spectrum.power.shape:
            raise ValueError(_differ(estimate.power.shape, self._spectrum.power.shape))
        if not np.isfinite(estimate.power).all():
            raise ValueError("the estimate is not finite")


def _values(audio: Audio) -> Array:
    values = audio.detach().cpu().numpy() if isinstance(audio, torch.Tensor) else np.asarray(audio)
    if values.ndim != 2:
        raise ValueError(f"audio must be (channels, samples), found {values.shape}")
    return values.astype(np.float32, copy=False)


def _magnitudes(audio: Array, window: int) -> torch.Tensor:
    spectrum = torch.stft(
        torch.from_numpy(np.ascontiguousarray(audio)),
        window,
        window // 2,
        window=torch.hann_window(window),
        return_complex=True,
    )
    return spectrum.abs()


def _differ(estimate: tuple[int, ...], target: tuple[int, ...]) -> str:
    return f"estimate and target differ in shape: {estimate}, {target}"
