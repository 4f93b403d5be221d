"""SR-GAN's generator: its size, its reach in time, its noise, and that every command takes it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.small_songs import tone
from typer.testing import CliRunner

from apollo_data.errors import DataError
from apollo_data.settings import load_settings
from apollo_model.checkpoint import load_network, save_network
from apollo_model.checkpoint.convert import convert_checkpoint
from apollo_model.checkpoint.describe import describe_checkpoint
from apollo_model.checkpoint.network_identity import network_key
from apollo_model.cli import app
from apollo_model.network.precision import prepare_network
from apollo_model.network.srgan import BINS, HOP, LOST_FRAMES, SrGan
from apollo_model.network.srgan_critic import SrGanCritic
from apollo_model.restore.chunks import ChunkPlan, Context, plan_chunks, restore_blocks
from apollo_model.restore.streaming import StreamingRestorer
from apollo_model.training.step import new_network

PIPELINES = Path(__file__).parents[3] / "pipelines"


def small_srgan(noise_seed: int = 0) -> SrGan:
    """A small network with random weights."""
    torch.manual_seed(0)
    return SrGan(planes=4, feature_dim=16, rows=4, noise_seed=noise_seed).eval()


def music(samples: int, channels: int = 2) -> torch.Tensor:
    sound = tone("srgan", samples / 44100 + 0.01)[:samples, :channels].T
    return torch.from_numpy(np.ascontiguousarray(sound))[None]


@torch.inference_mode()
def whole(network: SrGan, sound: torch.Tensor) -> np.ndarray:
    return network(sound)[0].numpy()


def test_the_full_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = new_network(load_settings(PIPELINES / "srgan.toml"))
        critic = SrGanCritic()
    assert isinstance(network, SrGan)
    assert sum(value.numel() for value in network.parameters()) == 322_532_337
    own, other = (
        {name: value.shape for name, value in module.encoder.state_dict().items()}
        for module in (network, critic)
    )
    planes = own.pop("convolutions.0.weight"), other.pop("convolutions.0.weight")
    assert planes == ((18, 2, 3, 3), (18, 4, 3, 3))  # the critic sees the coded sound too
    assert own == other


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 4410])
def test_any_length_comes_out_as_it_went_in(samples: int) -> None:
    found = whole(small_srgan(), music(samples))
    assert found.shape == (2, samples)
    assert np.isfinite(found).all()


def test_frames_come_out_where_they_went_in(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sound = small_srgan(), music(10_000)

    def middle_frames(planes: torch.Tensor) -> torch.Tensor:
        return planes[..., LOST_FRAMES:-LOST_FRAMES]

    monkeypatch.setattr(network, "restore_planes", middle_frames)
    error = whole(network, sound) - sound[0].numpy()
    assert error.std() < 0.03 * float(sound.std())  # the bin at 22,050 Hz is left out


def test_an_output_frame_sees_as_many_input_frames_as_the_network_says() -> None:
    network = small_srgan().double()
    context = network.context_frames
    assert context == 76
    planes = torch.randn(1, 2, BINS, 2 * context + 21, dtype=torch.float64, requires_grad=True)
    restored = network.restore_planes(planes)
    assert restored.shape == (1, 2, BINS, planes.shape[-1] - 2 * LOST_FRAMES)
    middle = planes.shape[-1] // 2
    restored[..., middle - LOST_FRAMES].sum().backward()
    assert planes.grad is not None
    seen = planes.grad.abs().amax((0, 1, 2)).nonzero()[:, 0]
    assert (int(seen[0]), int(seen[-1])) == (middle - context, middle + context)


def test_channels_are_restored_by_themselves() -> None:
    network, sound = small_srgan(), music(8000)
    both = whole(network, sound)
    for channel in range(2):
        alone = whole(network, sound[:, channel : channel + 1])[0]
        assert np.abs(both[channel] - alone).max() < 1e-5


def test_chunks_leave_no_seam_and_less_context_would() -> None:
    network, sound = small_srgan(), music(HOP * 130 + 77)
    expected = whole(network, sound)

    def cut() -> Iterator[np.ndarray]:
        return (sound[0, :, at : at + 10_007].numpy() for at in range(0, sound.shape[2], 10_007))

    chunks = list(restore_blocks(network, cut(), ChunkPlan(45 * HOP, 1)))
    assert len(chunks) > 1
    found = np.concatenate(chunks, 1)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    begin, context = 90 * HOP, Context.of(network).past
    less = context - 40 * HOP
    short = whole(network, sound[..., begin - less :])[:, less:]
    assert np.abs(short - expected[:, begin:]).max() > 1e-3 * np.abs(expected).max()


def test_chunks_are_planned_by_memory() -> None:
    network = small_srgan()
    small, large = (plan_chunks(network, 2, size) for size in (100 * 10**6, 300 * 10**6))
    assert 0 < small.chunk_samples < large.chunk_samples
    assert large.chunk_samples % HOP == 0
    with pytest.raises(DataError, match=r"too little for this network"):
        plan_chunks(network, 1, 10**6)


def test_noise_in_use_follows_from_the_settings_alone() -> None:
    sound = music(6000)
    network = small_srgan()
    first = whole(network, sound)
    torch.manual_seed(123)
    assert np.array_equal(whole(network, sound), first)
    other = small_srgan(noise_seed=1)
    assert not np.allclose(whole(other, sound), first, rtol=0, atol=1e-4 * np.abs(first).max())
    assert network_key(other) != network_key(network)


def test_noise_in_training_follows_from_the_step() -> None:
    network = small_srgan().train()
    sound = music(3000, 1).expand(2, -1, -1)

    def restored(step: int) -> torch.Tensor:
        network.begin_step(step)
        with torch.no_grad():
            return network(sound)

    first = restored(5)
    assert torch.equal(restored(5), first)
    assert not torch.allclose(restored(6), first)
    assert not torch.allclose(first[0], first[1])  # each item has a noise of its own


def test_activation_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        network = small_srgan().train()
        network.activation_checkpointing = checkpointing
        network(music(3000)).square().sum().backward()
        gradients.append([value.grad for value in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-4)


def test_bfloat16_is_close() -> None:
    sound = music(20_000)
    expected = whole(small_srgan(), sound)
    network = prepare_network(small_srgan(), torch.device("cpu"), torch.bfloat16)
    assert {value.dtype for value in network.parameters()} == {torch.bfloat16}
    error = whole(network, sound) - expected
    assert 0 < error.std() < 0.1 * expected.std()


def test_a_checkpoint_holds_it_whole(tmp_path: Path) -> None:
    network, sound = small_srgan(noise_seed=7), music(5000)
    save_network(network, tmp_path / "one.safetensors", {})
    loaded = load_network(tmp_path / "one.safetensors")
    assert isinstance(loaded, SrGan)
    assert loaded.settings == network.settings
    assert np.array_equal(whole(loaded, sound), whole(network, sound))
    info, card = convert_checkpoint(tmp_path / "one.safetensors", tmp_path / "out", "auto")
    assert (info.kind, info.settings["noise_seed"], info.causal) == ("srgan", 7, False)
    assert info.context_seconds == pytest.approx(76 * 512 / 44100, abs=1e-3)
    text = card.read_text()
    assert "# SR-GAN" in text
    assert "electronics10111349" in text


def test_sizes_are_read_off_bare_weights(tmp_path: Path) -> None:
    network = small_srgan()
    weights = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "bare.pt")
    assert load_network(tmp_path / "bare.pt").settings == network.settings
    weights["module.encoder.widen.weight"] = torch.zeros(3)
    torch.save({"state_dict": weights}, tmp_path / "damaged.pt")
    with pytest.raises(DataError, match=r"are not SR-GAN's"):
        load_network(tmp_path / "damaged.pt")


def test_metadata_must_fit_the_weights(tmp_path: Path) -> None:
    network = small_srgan()
    network.planes = 6
    save_network(network, tmp_path / "odd.safetensors", {})
    with pytest.raises(DataError, match="metadata planes is 6, its weights have 4"):
        load_network(tmp_path / "odd.safetensors")


def test_a_critic_beside_the_generator_is_not_taken_for_it(tmp_path: Path) -> None:
    critic = SrGanCritic(4, 16, 4).state_dict()
    safetensors.torch.save_file(critic, tmp_path / "critic.safetensors")
    with pytest.raises(DataError, match="holds no known network"):
        load_network(tmp_path / "critic.safetensors")


def test_commands_take_it_and_stream_says_why_not(tmp_path: Path) -> None:
    path = tmp_path / "srgan.safetensors"
    save_network(small_srgan(), path, {})
    shown = CliRunner().invoke(app, ["info", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "srgan" in shown.output
    assert describe_checkpoint(path).parameters == sum(
        value.numel() for value in small_srgan().parameters()
    )
    with pytest.raises(DataError, match=r"not causal: it needs 0\.9 s of future sound"):
        StreamingRestorer(load_network(path), 2)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [({"planes": 1}, "planes"), ({"feature_dim": 6}, "multiple of 4"), ({"rows": 0}, "rows")],
)
def test_sizes_that_cannot_be_built_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SrGan(**sizes)
    with pytest.raises(ValueError, match="audio must be"):
        small_srgan()(torch.zeros(2, 0, 5))
