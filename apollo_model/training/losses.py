"""What Apollo is trained on (paper, section II), and a waveform loss beside it.

Every loss is a mean, so that batch size, length and the number of windows do not change
its scale, and every division is safe: a crop of silence gives a finite loss and gradient.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from apollo_model.network.discriminator import WINDOWS

_FEATURE_FLOOR = 1e-8
# About -90 dBFS of noise at the longest window. Dividing by less would let one nearly
# silent crop outweigh an epoch.
_MAGNITUDE_FLOOR = 1e-3
_WAVEFORM_FLOOR = 1e-8
_SILENCE_POWER = 1e-12


def generator_adversarial_loss(estimate_scores: Sequence[Tensor]) -> Tensor:
    """Return the generator's LSGAN loss: mean (D(estimate) - 1)^2, 0 if all critics are fooled."""
    return _mean([(score.float() - 1).square().mean() for score in estimate_scores])


def discriminator_loss(
    estimate_scores: Sequence[Tensor], target_scores: Sequence[Tensor]
) -> Tensor:
    """Return the critics' LSGAN loss: mean (D(target) - 1)^2 + mean D(estimate)^2.

    The estimate's scores must come from a detached estimate. 0.5 is what critics reach
    that cannot tell the two apart.
    """
    right = _mean([(score.float() - 1).square().mean() for score in target_scores])
    return right + _mean([score.float().square().mean() for score in estimate_scores])


def feature_matching_loss(
    estimate_features: Sequence[Sequence[Tensor]], target_features: Sequence[Sequence[Tensor]]
) -> Tensor:
    """Return the mean over critics and layers of mean|H_est - H_target| / mean|H_target|.

    Both are the second result of `Discriminator.forward`; no gradient flows to the targets.
    """
    ratios = []
    for targets, estimates in zip(target_features, estimate_features, strict=True):
        for target, estimate in zip(targets, estimates, strict=True):
            fixed = target.detach().float()
            size = fixed.abs().mean().clamp(min=_FEATURE_FLOOR)
            ratios.append((estimate.float() - fixed).abs().mean() / size)
    return _mean(ratios)


def spectral_loss(estimate: Tensor, target: Tensor, windows: Sequence[int] = WINDOWS) -> Tensor:
    """Return the reconstruction loss: the error of the STFT magnitudes at several resolutions.

    It is the mean over the windows of mean||S_est| - |S_target|| / mean|S_target|.

    Parameters
    ----------
    estimate, target : Tensor
        Audio of one shape, (..., samples), of more than half the longest window.
    windows : sequence of int
        STFT windows in samples.

    Returns
    -------
    Tensor
        A scalar, 0 for equal magnitudes. Below about -90 dBFS the target's mean magnitude
        counts as 0.001.
    """
    _check_shapes(estimate, target)
    if target.shape[-1] <= max(windows) // 2:
        raise ValueError(
            f"a window of {max(windows)} needs more than {max(windows) // 2} samples,"
            f" found {target.shape[-1]}"
        )
    ratios = []
    with torch.autocast(target.device.type, enabled=False):
        for window in windows:
            wanted, found = _magnitudes(target, window), _magnitudes(estimate, window)
            size = wanted.mean().clamp(min=_MAGNITUDE_FLOOR)
            ratios.append((found - wanted).abs().mean() / size)
    return _mean(ratios)


def waveform_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """Return the negative SI-SNR in dB, mean over channels; at best -80.

    Parameters
    ----------
    estimate, target : Tensor
        Audio of one shape, (..., samples). The SI-SNR of a silent target is not defined:
        its channel is left out of the mean, and if all are silent the loss is 0.
    """
    _check_shapes(estimate, target)
    target = target.float() - target.float().mean(-1, keepdim=True)
    estimate = estimate.float() - estimate.float().mean(-1, keepdim=True)
    power = target.square().sum(-1, keepdim=True)
    sounding = power > _SILENCE_POWER * target.shape[-1]
    power = torch.where(sounding, power, 1.0)
    # The estimate at the target's level, so that the floors mean the same at every level.
    scale = (estimate * target).sum(-1, keepdim=True) / power
    wanted = scale * target
    floor = _WAVEFORM_FLOOR * power
    signal = wanted.square().sum(-1, keepdim=True) + floor
    noise = (estimate - wanted).square().sum(-1, keepdim=True) + floor
    losses = 10 * (noise.log10() - signal.log10())
    return torch.where(sounding, losses, 0.0).sum() / sounding.sum().clamp(min=1)


def _check_shapes(estimate: Tensor, target: Tensor) -> None:
    if target.shape != estimate.shape:
        raise ValueError(
            f"target and estimate differ in shape: {tuple(target.shape)}, {tuple(estimate.shape)}"
        )


def _magnitudes(audio: Tensor, window: int) -> Tensor:
    spectrum = torch.stft(
        audio.float().flatten(0, -2),
        window,
        window // 2,
        window=torch.hann_window(window, device=audio.device),
        return_complex=True,
    )
    return spectrum.abs()


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
