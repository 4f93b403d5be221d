"""Fidelity of a restored clip, per channel and averaged: SI-SNR and SDR (paper, section III).

Both remove each channel's mean, are computed in float64 and are limited to +-100 dB, which
is beyond 16-bit audio, so that identical or silent estimates do not make an average infinite.
No channels are permuted: that would hide swapped ones.
"""

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.audio import signal_distortion_ratio

Audio = Tensor | np.ndarray

LIMIT_DB = 100.0
SDR_TAPS = 512
SILENCE_RMS = 1e-6
"""-120 dBFS, well below half a step of 16-bit audio; relative to full scale 1.0."""

# Makes the filter's equations solvable for any signal. It limits SDR to 120 dB and changes
# nothing below 80 dB by more than 0.001 dB (tried on noise, tones, impulses and steps).
_SDR_DIAGONAL = 1e-12


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
    # One channel at a time: torch's batched solver fails in several threads
    # (github.com/pytorch/pytorch/issues/142815).
    pairs = zip(estimate.flatten(0, -2), target.flatten(0, -2), strict=True)
    ratios = torch.stack([_channel_sdr(*pair) for pair in pairs]).view(target.shape[:-1])
    # Rounding can make the explained share of a perfect estimate larger than 1.
    return _mean_over_channels(ratios.nan_to_num(nan=LIMIT_DB), sounding)


def _channel_sdr(estimate: Tensor, target: Tensor) -> Tensor:
    return signal_distortion_ratio(
        estimate, target, filter_length=SDR_TAPS, zero_mean=True, load_diag=_SDR_DIAGONAL
    )


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
