"""The paper's losses (section II) and a waveform loss.

Every loss is a mean, so its scale does not depend on batch size, length or number of windows.
Divisors have a floor, so a silent crop gives a finite loss and gradient.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from apollo_model.network.discriminator import WINDOWS

_FEATURE_FLOOR = 1e-8
# Noise of about -90 dBFS at the longest window. With a smaller divisor, one nearly silent crop
# could outweigh an epoch.
_MAGNITUDE_FLOOR = 1e-3
_WAVEFORM_FLOOR = 1e-8
_SILENCE_POWER = 1e-12


def generator_adversarial_loss(estimate_scores: Sequence[Tensor]) -> Tensor:
    """Return the generator's LSGAN loss, mean (D(estimate) - 1)^2; 0 if it fools all critics."""
    return _mean([(score.float() - 1).square().mean() for score in estimate_scores])


def discriminator_loss(
    estimate_scores: Sequence[Tensor], target_scores: Sequence[Tensor]
) -> Tensor:
    """Return the critics' LSGAN loss: mean (D(target) - 1)^2 + mean D(estimate)^2.

    The estimate's scores must come from a detached estimate. Critics that cannot tell estimate
    and target apart reach 0.5.
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
        A scalar, 0 for equal magnitudes. The divisor is at least 0.001, the mean magnitude of
        a target of about -90 dBFS.
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
        Audio of one shape, (..., samples). The SI-SNR of a silent target is not defined, so
        silent channels are left out of the mean. If all are silent the loss is 0.
    """
    _check_shapes(estimate, target)
    target = target.float() - target.float().mean(-1, keepdim=True)
    estimate = estimate.float() - estimate.float().mean(-1, keepdim=True)
    power = target.square().sum(-1, keepdim=True)
    sounding = power > _SILENCE_POWER * target.shape[-1]
    power = torch.where(sounding, power, 1.0)
    # Scale the estimate to the target's level, so that the floors are relative to it.
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
