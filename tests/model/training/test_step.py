"""One training step."""

from pathlib import Path

import pytest
import torch
from helpers.small_songs import tiny_settings
from helpers.training_runs import WAVEFORM

from apollo_model.network.precision import autocast, choose_training_dtype
from apollo_model.training.step import Average, Trainer


def pair(size: int = 2, noise: float = 0.02) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    clean = 0.1 * torch.randn(size, 2, 13230)
    return clean + noise * torch.randn_like(clean), clean


def test_a_step_trains_both_networks_and_reports_every_term() -> None:
    trainer = Trainer(tiny_settings(loss={"waveform": 0.5}))
    before = [values.clone() for values in trainer.network.parameters()]
    assert trainer.discriminator is not None
    critics = [values.clone() for values in trainer.discriminator.parameters()]
    losses = trainer.step(*pair())
    terms = {"adversarial", "feature_matching", "reconstruction", "waveform"}
    assert set(losses) == terms | {"discriminator", "generator"}
    assert losses["generator"] == pytest.approx(sum(losses[name] for name in terms), rel=1e-5)
    for old, module in ((before, trainer.network), (critics, trainer.discriminator)):
        assert any(not torch.equal(a, b) for a, b in zip(old, module.parameters(), strict=True))
    assert all(value.requires_grad for value in trainer.discriminator.parameters())


def test_the_waveform_loss_learns() -> None:
    trainer = Trainer(tiny_settings(loss=WAVEFORM))
    coded, clean = pair(noise=0.05)
    losses = [trainer.step(coded, clean)["waveform"] for _ in range(30)]
    assert losses[-1] < losses[0] - 0.3


def test_accumulated_batches_are_one_step() -> None:
    # Two equal batches have the mean gradient of one of them; losses are means, too.
    coded, clean = pair(1)
    one, two = (Trainer(tiny_settings(loss={"waveform": 0.1})) for _ in range(2))
    first, second = one.take_step([(coded, clean)]), two.take_step([(coded, clean)] * 2)
    for name, value in first.losses.items():
        assert float(second.losses[name]) == pytest.approx(float(value), rel=1e-4), name
    for name, value in first.norms.items():
        assert float(second.norms[name]) == pytest.approx(float(value), rel=1e-4), name
    assert one.steps == two.steps == 1


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    trainer = Trainer(tiny_settings(loss={"waveform": 0.1}))
    trainer.step(*pair())
    modules = (trainer.network, trainer.discriminator)
    before = [value.clone() for module in modules for value in module.parameters()]
    steps = [
        float(entry["step"])
        for optimiser in trainer.optimisers.values()
        for entry in optimiser.state.values()
    ]
    broken = torch.full((1, 2, 13230), float("nan"))
    result = trainer.take_step([(broken, broken)])
    assert not any(bool(torch.isfinite(norm)) for norm in result.norms.values())
    after = [value for module in modules for value in module.parameters()]
    assert all(map(torch.equal, before, after))
    assert steps == [
        float(entry["step"])
        for optimiser in trainer.optimisers.values()
        for entry in optimiser.state.values()
    ]
    after = trainer.take_step([pair()])
    assert all(bool(torch.isfinite(norm)) for norm in after.norms.values())


def test_bfloat16_keeps_weights_stfts_and_losses_in_float32() -> None:
    trainer = Trainer(tiny_settings(dtype="bfloat16", loss={"waveform": 0.1}))
    seen: set[torch.dtype] = set()
    trainer.network.net[0].seq_net["blocks"][0].conv[2].register_forward_hook(
        lambda _module, _given, output: seen.add(output.dtype)
    )
    result = trainer.take_step([pair()])
    assert torch.bfloat16 in seen
    assert {value.dtype for value in trainer.network.parameters()} == {torch.float32}
    assert {value.dtype for value in result.losses.values()} == {torch.float32}
    exact = Trainer(tiny_settings(loss={"waveform": 0.1})).take_step([pair()])
    for name, value in exact.losses.items():
        assert float(result.losses[name]) == pytest.approx(float(value), rel=0.05, abs=0.02), name


def test_auto_is_float32_on_a_cpu() -> None:
    assert choose_training_dtype("auto", torch.device("cpu")) == torch.float32
    with autocast(torch.device("cpu"), torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_the_average_follows_the_weights() -> None:
    network = Trainer(tiny_settings(loss=WAVEFORM)).network
    average = Average(network, 0.5)
    values = [next(network.parameters()).detach().clone()]
    for number in range(3):
        with torch.no_grad():
            next(network.parameters()).add_(1.0 + number)
        values.append(next(network.parameters()).detach().clone())
        average.update(network)
    expected = values[0]
    for number, value in enumerate(values[1:]):
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
    assert torch.allclose(next(average.network.parameters()), expected)


def test_a_state_moves_between_trainers(tmp_path: Path) -> None:
    settings = tiny_settings(loss={"waveform": 0.1}, ema_decay=0.9)
    one, other = Trainer(settings), Trainer(settings)
    one.step(*pair())
    torch.save(one.state(), tmp_path / "state.pt")
    other.load_state(torch.load(tmp_path / "state.pt", map_location="cpu", weights_only=True))
    assert one.step(*pair()) == other.step(*pair())
