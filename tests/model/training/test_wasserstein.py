"""SR-GAN's adversary: the gradient penalty, the critic's steps, and runs with it."""

import re
from pathlib import Path

import pytest
import torch
from helpers.small_songs import small_settings
from helpers.training_runs import run
from torch import Tensor

from apollo_data.errors import DataError, SettingsError
from apollo_data.settings import Settings, parse_settings
from apollo_model.checkpoint import load_network
from apollo_model.network.srgan import SrGan
from apollo_model.training.step import Trainer
from apollo_model.training.wasserstein_adversary import (
    PENALTY_WEIGHT,
    Wasserstein,
    gradient_penalty,
)

SIZE = {"planes": 2, "feature_dim": 8, "rows": 2}
LOSS = {"adversarial": 0.01, "feature_matching": 0, "reconstruction": 1}


def settings(loss: dict[str, float] | None = None, **training: object) -> Settings:
    return small_settings(
        mixing={"clip_seconds": 0.5},
        shards={"train_clips": 6, "valid_clips": 2, "clips_per_shard": 4},
        network={"kind": "srgan", "srgan": SIZE},
        training={
            "adversary": "wgan_gp",
            "crop_seconds": 0.1,
            "max_epochs": 1,
            "weight_decay": 0,
            "discriminator_learning_rate": 1e-3,
            "loss": loss or LOSS,
            **training,
        },
    )


def pair(size: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    clean = 0.1 * torch.randn(size, 2, 4410)
    return clean + 0.02 * torch.randn_like(clean), clean


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope() -> None:
    torch.manual_seed(1)
    slope = torch.randn(3, 4, requires_grad=True)
    fake, real = torch.randn(5, 3, 4), torch.randn(5, 3, 4)
    penalty = gradient_penalty(
        lambda points: (points * slope).sum((1, 2)), fake, real, torch.rand(5)
    )
    norm = float(slope.detach().norm())
    assert float(penalty.detach()) == pytest.approx((norm - 1) ** 2, rel=1e-5)
    penalty.backward()
    assert slope.grad is not None
    assert torch.allclose(slope.grad, 2 * (norm - 1) * slope.detach() / norm, rtol=1e-4)


def test_the_penalty_is_taken_between_both_sounds() -> None:
    fake, real = torch.randn(3, 7), torch.randn(3, 7)
    shares = torch.tensor([0.0, 0.25, 1.0])
    penalty = gradient_penalty(
        lambda points: 0.5 * points.square().sum(1),  # its slope is the point itself
        fake,
        real,
        shares,
    )
    points = torch.stack([fake[0], 0.75 * fake[1] + 0.25 * real[1], real[2]])
    assert float(penalty.detach()) == pytest.approx(float((points.norm(dim=1) - 1).square().mean()))


def test_the_loss_is_the_distance_and_the_penalty(monkeypatch: pytest.MonkeyPatch) -> None:
    adversary = Wasserstein(settings())
    coded, clean = pair()
    critic = adversary.discriminator
    fake, real = critic.planes(coded[0]), critic.planes(clean[0]).requires_grad_()
    # Between equal sounds there is no distance, and one point for the penalty.
    (slope,) = torch.autograd.grad(critic(real, fake).sum(), real)
    penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    equal = adversary(clean, clean, coded, True)
    assert float(equal.detach()) == pytest.approx(PENALTY_WEIGHT * float(penalty), rel=1e-4)
    monkeypatch.setattr(
        "apollo_model.training.wasserstein_adversary.gradient_penalty", lambda *_: torch.zeros(())
    )
    distance = critic(fake, fake).mean() - critic(real, fake).mean()
    found = adversary(coded, clean, coded, True)
    assert float(found.detach()) == pytest.approx(float(distance.detach()), rel=1e-4)


def test_the_penalty_is_repeatable_and_finite_in_silence() -> None:
    adversary = Wasserstein(settings())
    coded, clean = pair()
    losses = []
    for step in (4, 4, 5):
        adversary.begin_step(step)
        losses.append(float(adversary(coded, clean, coded, True).detach()))
    assert losses[0] == losses[1] != losses[2]
    silent = torch.zeros_like(coded)
    adversary(silent, silent, silent, True).backward()
    weights = adversary.discriminator.parameters()
    assert all(
        bool(torch.isfinite(value.grad).all()) for value in weights if value.grad is not None
    )


def test_steps_lower_the_critics_loss_and_the_reconstruction() -> None:
    trainer = Trainer(settings())
    assert isinstance(trainer.network, SrGan)
    coded, clean = pair()
    losses = [trainer.step(coded, clean) for _ in range(40)]
    assert set(losses[0]) == {"discriminator", "adversarial", "reconstruction", "generator"}
    assert losses[-1]["discriminator"] < 0.9 * losses[0]["discriminator"]
    assert losses[-1]["reconstruction"] < losses[0]["reconstruction"] - 0.01


def test_the_network_learns_from_the_critic_alone() -> None:
    trainer = Trainer(settings({"adversarial": 1, "feature_matching": 0, "reconstruction": 0}))
    before = [value.clone() for value in trainer.network.parameters()]
    losses = trainer.step(*pair())
    assert set(losses) == {"discriminator", "adversarial", "generator"}
    after = trainer.network.parameters()
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_critic_may_take_more_steps_than_the_network() -> None:
    trainer = Trainer(settings(discriminator_steps=3))
    updated = []
    for _ in range(6):
        before = [value.clone() for value in trainer.network.parameters()]
        losses = trainer.step(*pair())
        assert "discriminator" in losses
        changed = not all(map(torch.equal, before, trainer.network.parameters()))
        assert changed == ("generator" in losses)
        updated.append(changed)
    assert updated == [False, False, True, False, False, True]


def test_a_state_moves_between_trainers(tmp_path: Path) -> None:
    one, other = (Trainer(settings(ema_decay=0.9)) for _ in range(2))
    one.step(*pair())
    torch.save(one.state(), tmp_path / "state.pt")
    other.load_state(torch.load(tmp_path / "state.pt", map_location="cpu", weights_only=True))
    assert one.step(*pair()) == other.step(*pair())


def test_a_run_writes_a_network_that_can_be_trained_further(shards: Path, tmp_path: Path) -> None:
    report = run(settings(), shards, tmp_path / "run")
    assert report.steps > 0
    best = load_network(report.checkpoint)
    assert isinstance(best, SrGan)
    assert {name: best.settings[name] for name in SIZE} == SIZE
    assert isinstance(load_network(tmp_path / "run" / "last.pt"), SrGan)
    further = settings().model_copy(update={"network": parse_settings({}, "").network})
    again = run(further, shards, tmp_path / "again", init=str(report.checkpoint))
    found = load_network(again.checkpoint)
    assert found.settings == best.settings
    # Going on reads the kind and the size from the state.
    longer = further.training.model_copy(update={"max_epochs": 2})
    more = run(further.model_copy(update={"training": longer}), shards, tmp_path / "again")
    assert more.steps == 2 * again.steps


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"network": {"srgan": SIZE}}, 'need network.kind = "srgan"'),
        ({"network": {"kind": "srgan", "layers": 2}}, "layers is a setting of Apollo"),
        ({"network": {"kind": "srgan", "srgan": {"plane": 3}}}, "did you mean 'planes'"),
        ({"network": {"kind": "gan"}}, "network.kind"),
        ({"training": {"adversary": "wgan_gp"}}, "has no feature matching"),
    ],
)
def test_settings_that_do_not_fit_are_refused(sections: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        parse_settings(sections, "test")


def test_the_critic_needs_its_own_kind_of_network() -> None:
    with pytest.raises(DataError, match="wgan_gp is the critic of an SR-GAN network"):
        Trainer(small_settings(training={"adversary": "wgan_gp", "loss": LOSS}))
