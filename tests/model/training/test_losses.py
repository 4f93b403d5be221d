import math
from pathlib import Path

import numpy as np
import pytest
import torch

from apollo_model.training.losses import (
    WINDOWS,
    discriminator_loss,
    feature_matching_loss,
    generator_adversarial_loss,
    spectral_loss,
    waveform_loss,
)

VECTORS = Path(__file__).parents[2] / "vectors"


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_spectral_loss_is_the_published_one() -> None:
    with np.load(VECTORS / "spectral_loss.npz") as content:
        target, estimate = (torch.from_numpy(content[name]) for name in ("target", "estimate"))
        expected = float(content["loss"])
    assert float(spectral_loss(estimate, target)) == pytest.approx(expected, abs=1e-6)
    assert WINDOWS == (32, 64, 128, 256, 512, 1024, 2048)


def test_spectral_loss_of_simple_cases() -> None:
    target = noise(2, 2, 4410)
    assert float(spectral_loss(target, target)) == 0.0
    assert float(spectral_loss(-target, target)) == pytest.approx(0.0, abs=1e-6)
    assert float(spectral_loss(0 * target, target)) == pytest.approx(1.0)
    assert float(spectral_loss(3 * target, target)) == pytest.approx(2.0, rel=1e-5)
    assert float(spectral_loss(21 * target, 7 * target)) == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize("loss", [spectral_loss, waveform_loss])
@pytest.mark.parametrize("wrong", ["estimate", "target", "both"])
def test_silence_gives_a_finite_loss_and_gradient(loss: object, wrong: str) -> None:
    target, estimate = noise(1, 2, 2205), noise(1, 2, 2205, seed=1)
    if wrong != "estimate":
        target = torch.zeros_like(target)
    if wrong != "target":
        estimate = torch.zeros_like(estimate)
    estimate.requires_grad_()
    value = loss(estimate, target)
    value.backward()
    assert math.isfinite(float(value.detach()))
    assert bool(torch.isfinite(estimate.grad).all())
    assert estimate.grad.norm() < 1e3


def test_losses_refuse_other_shapes_and_short_audio() -> None:
    for loss in (spectral_loss, waveform_loss):
        with pytest.raises(ValueError, match="differ in shape"):
            loss(noise(1, 1, 4410), noise(1, 2, 4410))
    with pytest.raises(ValueError, match="more than 1024 samples"):
        spectral_loss(noise(1, 2, 1024), noise(1, 2, 1024))


def test_waveform_loss_is_the_negative_si_snr() -> None:
    target, error = noise(2, 2, 4410).double().numpy(), noise(2, 2, 4410, seed=1).double().numpy()
    estimate = 0.7 * target + 0.1 * error + 0.3
    expected = []
    for wanted, found in zip(target.reshape(4, -1), estimate.reshape(4, -1), strict=True):
        wanted, found = wanted - wanted.mean(), found - found.mean()
        projection = found @ wanted / (wanted @ wanted) * wanted
        ratio = projection @ projection / ((found - projection) @ (found - projection))
        expected.append(-10 * np.log10(ratio))
    loss = waveform_loss(torch.from_numpy(estimate).float(), torch.from_numpy(target).float())
    assert float(loss) == pytest.approx(np.mean(expected), abs=1e-4)


def test_waveform_loss_does_not_depend_on_level() -> None:
    target, estimate = noise(1, 2, 4410), noise(1, 2, 4410) + 0.1 * noise(1, 2, 4410, seed=1)
    loss = float(waveform_loss(estimate, target))
    assert loss == pytest.approx(-20.0, abs=0.3)
    assert float(waveform_loss(1e-3 * estimate, 1e-3 * target)) == pytest.approx(loss, abs=1e-3)
    assert float(waveform_loss(0.1 * estimate, target)) == pytest.approx(loss, abs=1e-3)
    assert float(waveform_loss(target, target)) == pytest.approx(-80.0, abs=0.1)


def test_waveform_loss_leaves_out_silent_targets() -> None:
    target, estimate = noise(1, 2, 4410), noise(1, 2, 4410, seed=1)
    alone = float(waveform_loss(estimate[:, :1], target[:, :1]))
    target[:, 1] = 0.0
    assert float(waveform_loss(estimate, target)) == pytest.approx(alone, abs=1e-5)
    assert float(waveform_loss(estimate, 0 * target)) == 0.0


def test_gradients_are_those_of_the_formulas() -> None:
    target = noise(1, 1, 200).double()
    estimate = noise(1, 1, 200, seed=1).double()
    shift = 1e-3 * noise(1, 1, 200, seed=2).double()
    for loss in (lambda e, t: spectral_loss(e, t, windows=(32, 64)), waveform_loss):
        variable = estimate.clone().requires_grad_()
        loss(variable, target).backward()
        slope = float((variable.grad * shift).sum())
        difference = float(loss(estimate + shift, target) - loss(estimate - shift, target)) / 2
        assert slope == pytest.approx(difference, rel=0.02)


def test_adversarial_losses() -> None:
    ones, zeros, halves = (
        [torch.full((2, 1, 3, size), level) for size in (4, 9)] for level in (1.0, 0.0, 0.5)
    )
    assert float(generator_adversarial_loss(ones)) == 0.0
    assert float(generator_adversarial_loss(zeros)) == 1.0
    assert float(discriminator_loss(zeros, ones)) == 0.0
    assert float(discriminator_loss(ones, zeros)) == 2.0
    assert float(discriminator_loss(halves, halves)) == 0.5


def test_each_critic_counts_the_same() -> None:
    scores = [torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 50, 50)]
    assert float(generator_adversarial_loss(scores)) == 0.5
    assert float(discriminator_loss([torch.zeros(1), torch.zeros(1)], scores)) == 0.5


def test_feature_matching_is_relative_and_leaves_the_target_alone() -> None:
    targets = [[noise(1, 4, 5), noise(1, 8, 3)], [noise(1, 4, 2), noise(1, 8, 1)]]
    same = [[value.clone() for value in layers] for layers in targets]
    assert float(feature_matching_loss(same, targets)) == 0.0
    doubled = [[2 * value for value in layers] for layers in targets]
    assert float(feature_matching_loss(doubled, targets)) == pytest.approx(1.0)
    tenfold = [[[10 * v for v in layers] for layers in side] for side in (doubled, targets)]
    assert float(feature_matching_loss(*tenfold)) == pytest.approx(1.0)

    target = noise(3).requires_grad_()
    estimate = noise(3, seed=1).requires_grad_()
    feature_matching_loss([[estimate]], [[target]]).backward()
    assert target.grad is None
    assert estimate.grad.abs().max() > 0
    assert math.isfinite(float(feature_matching_loss([[torch.zeros(3)]], [[torch.zeros(3)]])))


def test_feature_matching_refuses_other_critics() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        feature_matching_loss([[noise(3)], [noise(3)]], [[noise(3)]])
