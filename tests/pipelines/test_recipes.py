"""The pipeline files hold what they say they hold."""

from pathlib import Path

import pytest
import torch

from apollo_data.settings import load_settings
from apollo_model.network.apollo import Apollo
from apollo_model.network.discriminator import SLOPE, STRIDES, WINDOWS, Discriminator
from apollo_model.network.srgan import SrGan
from apollo_model.training.step import new_network
from apollo_model.training.wasserstein_adversary import PENALTY_WEIGHT

PIPELINES = Path(__file__).parents[2] / "pipelines"


def test_paper_toml_is_the_papers_recipe() -> None:
    settings = load_settings(PIPELINES / "paper.toml")
    assert settings.sample_rate == 44100
    mixing, codec = settings.mixing, settings.codec
    assert (mixing.clip_seconds, mixing.min_stems, mixing.max_stems) == (3.0, 1, 8)
    assert (mixing.gain_db, mixing.gain_law) == ((-10.0, 10.0), "uniform_db")
    assert mixing.distinct_songs
    assert not mixing.repeat_classes
    assert codec.bitrates_kbps == (24, 32, 48, 64, 96, 128)
    assert not codec.variants
    assert settings.evaluation.per_category == 5000
    network, training = settings.network, settings.training
    assert (network.window_ms, network.feature_dim, network.layers) == (20, 256, 6)
    assert not network.residual
    assert not network.causal
    loss = training.loss
    assert (loss.adversarial, loss.feature_matching, loss.reconstruction) == (1, 1, 1)
    assert loss.waveform == 0
    rates = (training.generator_learning_rate, training.discriminator_learning_rate)
    assert rates == (1e-3, 1e-4)
    assert (training.betas, training.weight_decay) == ((0.5, 0.99), 0.01)
    assert (training.decay, training.decay_epochs) == (0.98, 2)
    assert (training.gradient_norm, training.patience_epochs) == (5.0, 20)
    assert (training.batch_size, training.accumulate_steps) == (1, 1)
    assert training.crop_seconds is None
    assert training.choose_by == "si_snr"
    # What the paper does not do.
    assert (training.ema_decay, training.discriminator_warmup_steps) == (0, 0)


def test_the_papers_networks_have_the_papers_size() -> None:
    settings = load_settings(PIPELINES / "paper.toml")
    network = new_network(settings)
    assert (network.window_samples, network.hop_samples) == (882, 441)
    assert sum(value.numel() for value in network.parameters()) == 16_539_308
    assert WINDOWS == (32, 64, 128, 256, 512, 1024, 2048)
    assert (STRIDES, SLOPE) == ((1, 2, 1, 2, 1, 2), 0.2)
    assert sum(value.numel() for value in Discriminator().parameters()) == 2_771_503


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_pipeline_file_can_be_read_and_its_network_built(path: Path) -> None:
    settings = load_settings(path)
    assert settings.name == path.stem
    with torch.device("meta"):
        network = new_network(settings)
    assert isinstance(network, SrGan if path.stem.startswith("srgan") else Apollo)
    assert network.causal == (path.stem == "stream")


def test_srgan_toml_is_the_sources_recipe_on_the_papers_clips() -> None:
    settings, paper = (load_settings(PIPELINES / f"{name}.toml") for name in ("srgan", "paper"))
    assert (settings.mixing, settings.codec) == (paper.mixing, paper.codec)
    assert settings.for_shards() == paper.for_shards()
    training = settings.training
    assert training.adversary == "wgan_gp"
    rates = (training.generator_learning_rate, training.discriminator_learning_rate)
    assert rates == (1e-3, 1e-3)
    assert training.crop_seconds == 2.0
    assert training.weight_decay == 0
    assert PENALTY_WEIGHT == 100
    loss = training.loss
    assert (loss.adversarial, loss.reconstruction, loss.waveform) == (1, 0, 0)
