from pathlib import Path

import numpy as np
import pytest
import torch

from apollo_model.network.discriminator import Discriminator

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    with np.load(VECTORS / "discriminator_window32.npz") as content:
        return {name: torch.from_numpy(content[name]) for name in content.files}


@pytest.fixture
def critic(published: dict[str, torch.Tensor]) -> Discriminator:
    prefix = "state/"
    state = {
        name.removeprefix(prefix): value
        for name, value in published.items()
        if name.startswith(prefix)
    }
    discriminator = Discriminator(windows=(32,))
    discriminator.load_state_dict(state)
    return discriminator.eval()


@torch.no_grad()
def test_gives_the_published_scores_and_features(
    published: dict[str, torch.Tensor], critic: Discriminator
) -> None:
    (score,), (features,) = critic(published["input"])
    torch.testing.assert_close(score, published["score"], atol=1e-6, rtol=0)
    assert len(features) == 6
    for layer, feature in enumerate(features):
        means = feature.mean((0, 2, 3))
        torch.testing.assert_close(means, published[f"feature{layer}"], atol=1e-6, rtol=0)


def test_has_the_published_size() -> None:
    discriminator = Discriminator()
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 2_771_503


@torch.no_grad()
def test_level_does_not_matter_but_balance_does(
    published: dict[str, torch.Tensor], critic: Discriminator
) -> None:
    audio = published["input"]
    (score,), _ = critic(audio)
    (louder,), _ = critic(5 * audio)
    torch.testing.assert_close(louder, score, atol=1e-6, rtol=0)
    (swapped,), _ = critic(audio.flip(1))
    assert (swapped - score).abs().max() > 1e-6
    (skewed,), _ = critic(audio * torch.tensor([1.0, 0.1]).reshape(1, 2, 1))
    assert (skewed - score).abs().max() > 1e-6


@torch.no_grad()
def test_items_are_judged_by_themselves(
    published: dict[str, torch.Tensor], critic: Discriminator
) -> None:
    audio = torch.cat((published["input"], torch.randn(1, 2, 13230)))
    (both,), _ = critic(audio)
    (alone,), _ = critic(audio[:1])
    torch.testing.assert_close(both[:1], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1, 4410), (1, 3, 4410), (2, 4410), (1, 2, 1024)])
def test_refuses_what_it_cannot_judge(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="found"):
        Discriminator(windows=(64, 2048))(torch.zeros(shape))


def test_silence_is_finite_and_so_is_its_gradient() -> None:
    audio = torch.zeros(1, 2, 2048, requires_grad=True)
    scores, _ = Discriminator(windows=(32, 64))(audio)
    sum(score.mean() for score in scores).backward()
    assert all(bool(torch.isfinite(score).all()) for score in scores)
    assert bool(torch.isfinite(audio.grad).all())


def test_every_layer_and_the_audio_get_a_gradient() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(windows=(32, 64), channels=4)
    audio = torch.randn(1, 2, 2205, requires_grad=True)
    scores, features = discriminator(audio)
    total = sum(score.square().mean() for score in scores)
    (total + sum(layers[-1].mean() for layers in features)).backward()
    assert audio.grad.abs().max() > 0
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_training_keeps_spectral_norms_at_one() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(windows=(32,), channels=2)
    with torch.no_grad():
        for parameter in discriminator.parameters():
            parameter.mul_(3.0)
        for _ in range(50):
            discriminator(torch.randn(1, 2, 441))
    layers = discriminator.discriminators[0].discriminator
    for layer in layers[:-1]:
        norm = torch.linalg.matrix_norm(layer[0].weight.flatten(1), 2)
        assert float(norm) == pytest.approx(1.0, abs=0.05)
