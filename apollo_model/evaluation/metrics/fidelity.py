"""Fidelity of a restored clip, per channel and averaged: SI-SNR and SDR (paper, section III).

Both remove each channel's mean, are computed in float64 and are limited to +-100 dB, which
is beyond 16-bit audio, so that identical or silent estimates do not make an average infinite.
No channels are permuted: that would hide swapped ones.
"""

import contextlib
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.linalg
import torch
from torch import Tensor

Audio = Tensor | np.ndarray

LIMIT_DB = 100.0
SDR_TAPS = 512
SILENCE_RMS = 1e-6
"""-120 dBFS, well below half a step of 16-bit audio; relative to full scale 1.0."""

# Makes the filter's equations solvable for any signal. It limits SDR to 120 dB and changes
# nothing below 80 dB by more than 0.001 dB (tried on noise, tones, impulses and steps).
_SDR_DIAGONAL = 1e-12
_LEAST_SHARE = 1e-10


def is_silent(target: Audio) -> bool:
    """Tell whether a reference, (channels, samples), has no sounding channel.

    The scores of such a reference are not defined, and `si_snr` and `sdr` refuse it. A
    constant offset is silence.
    """
    return not bool(_sounding(_double(target)).any())


def si_snr(estimate: Audio, target: Audio) -> Tensor:
    """Return the scale-invariant signal-to-noise ratio in dB, mean over channels.

    It forgives a gain and nothing else: one sample of delay costs nearly everything.

    Parameters
    ----------
    estimate, target : Tensor or ndarray
        (channels, samples) or (batch, channels, samples), of one shape.

    Returns
    -------
    Tensor
        float64, a scalar or (batch,), in [-100, 100]. A channel whose target is silent is
        left out of the mean.

    Raises
    ------
    ValueError
        The shapes do not fit, the target is silent in all channels, or one of them is
        not finite.

    Examples
    --------
    >>> target = torch.sin(torch.arange(100.0)).reshape(1, 100)
    >>> float(si_snr(3 * target, target))
    100.0
    """
    estimate, target, sounding = _prepare(estimate, target)
    power = target.square().sum(-1, keepdim=True)
    power = torch.where(power > 0, power, 1.0)
    wanted = (estimate * target).sum(-1, keepdim=True) / power * target
    noise = estimate - wanted
    smallest = torch.finfo(torch.float64).tiny
    signal_power, noise_power = wanted.square().sum(-1), noise.square().sum(-1).clamp(min=smallest)
    ratios = 10 * (signal_power.log10() - noise_power.log10())
    return _mean_over_channels(ratios, sounding)


def sdr(estimate: Audio, target: Audio) -> Tensor:
    """Return the signal-to-distortion ratio of BSS Eval in dB, mean over channels.

    It forgives any filter of 512 taps, and so a gain, an equaliser and small delays
    (Vincent et al. 2006). Parameters, result and errors are those of `si_snr`.
    """
    estimate, target, sounding = _prepare(estimate, target)
    samples = target.shape[-1]
    pairs = zip(estimate.reshape(-1, samples), target.reshape(-1, samples), strict=True)
    ratios = [SdrChannel(wanted.cpu().numpy()).sdr(found.cpu().numpy()) for found, wanted in pairs]
    return _mean_over_channels(torch.tensor(ratios).double().view(target.shape[:-1]), sounding)


class FidelityReference:
    """A target, (channels, samples), against which many estimates are measured.

    Raises
    ------
    ValueError
        The target is silent or not finite.
    """

    def __init__(self, target: Audio) -> None:
        self._target = _double(target)
        _prepare(self._target, self._target)
        self._sounding = _sounding(self._target)
        self._channels: list[SdrChannel | None] = [None] * len(self._target)

    def si_snr(self, estimate: Audio) -> float:
        """Return `si_snr` of an estimate."""
        return float(si_snr(estimate, self._target))

    def sdr(self, estimate: Audio) -> float:
        """Return `sdr` of an estimate."""
        found, wanted, sounding = _prepare(estimate, self._target)
        ratios = torch.full((len(wanted),), -LIMIT_DB, dtype=torch.float64)
        for number in torch.nonzero(sounding).flatten().tolist():
            channel = self._channels[number] or SdrChannel(wanted[number].numpy())
            self._channels[number] = channel
            ratios[number] = channel.sdr(found[number].numpy())
        return float(_mean_over_channels(ratios, sounding))


class SdrChannel:
    """One channel of a target, without its mean, against which many estimates are measured.

    Parameters
    ----------
    target : ndarray
        (samples,), float64.
    """

    def __init__(self, target: npt.NDArray[Any]) -> None:
        self._samples = len(target)
        self._spectra = scipy.fft.rfft(_blocks(target, SDR_TAPS), 2 * SDR_TAPS).conj()
        own = self._correlation(target)
        self._factor = _cholesky(own) if own[0] else None

    def sdr(self, estimate: npt.NDArray[Any]) -> float:
        """Return the ratio in dB for an estimate without its mean, (samples,)."""
        power = float(estimate @ estimate)
        if self._factor is None or not power:
            return -LIMIT_DB
        cross = self._correlation(estimate)
        explained = float(cross @ scipy.linalg.cho_solve(self._factor, cross)) / power
        # Rounding can make the explained share of a perfect estimate larger than 1.
        if explained >= 1:
            return LIMIT_DB
        return 10 * math.log10(max(explained, _LEAST_SHARE) / (1 - explained))

    def _correlation(self, audio: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the correlation with the target at the lags 0 to 511 of `audio`.

        Block by block, each against its own stretch and the one after, which is far quicker
        than with the spectrum of the whole.
        """
        blocks = _blocks(audio, SDR_TAPS)
        following = np.concatenate((blocks[1:], np.zeros((1, SDR_TAPS))))
        spectra = scipy.fft.rfft(np.concatenate((blocks, following), 1))
        cross = np.einsum("bf,bf->f", spectra, self._spectra)
        return scipy.fft.irfft(cross, 2 * SDR_TAPS)[:SDR_TAPS]


def _cholesky(correlation: npt.NDArray[Any]) -> Any:
    """Factor the filter's equations; a target that is hardly more than a tone needs more help."""
    for diagonal in (_SDR_DIAGONAL, 1e-10, 1e-8):
        loaded = correlation.copy()
        loaded[0] *= 1 + diagonal
        with contextlib.suppress(scipy.linalg.LinAlgError):
            return scipy.linalg.cho_factor(scipy.linalg.toeplitz(loaded))
    raise ValueError("the target's correlations cannot be solved")


def _blocks(audio: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    return np.pad(audio, (0, -len(audio) % length)).reshape(-1, length)


def _prepare(estimate: Audio, target: Audio) -> tuple[Tensor, Tensor, Tensor]:
    """Return both in float64 without their means, and which channels of the target sound."""
    target = _double(target)
    estimate = _double(estimate).to(target.device)
    if estimate.shape != target.shape:
        raise ValueError(
            f"estimate and target differ in shape: {tuple(estimate.shape)}, {tuple(target.shape)}"
        )
    if target.dim() not in (2, 3) or target.numel() == 0:
        raise ValueError(
            f"audio must be (channels, samples) or (batch, channels, samples),"
            f" found {tuple(target.shape)}"
        )
    for name, audio in (("estimate", estimate), ("target", target)):
        if not bool(torch.isfinite(audio).all()):
            raise ValueError(f"the {name} is not finite")
    sounding = _sounding(target)
    if not bool(sounding.any(-1).all()):
        raise ValueError("silent reference")
    return _centred(estimate), _centred(target), sounding


def _double(audio: Audio) -> Tensor:
    return torch.as_tensor(audio).detach().double()


def _centred(audio: Tensor) -> Tensor:
    return audio - audio.mean(-1, keepdim=True)


def _sounding(target: Tensor) -> Tensor:
    return _centred(target).square().mean(-1).sqrt() > SILENCE_RMS


def _mean_over_channels(ratios: Tensor, sounding: Tensor) -> Tensor:
    limited = ratios.clamp(-LIMIT_DB, LIMIT_DB)
    return torch.where(sounding, limited, 0.0).sum(-1) / sounding.sum(-1)
