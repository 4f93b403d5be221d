import json
from pathlib import Path

import numpy as np
import pytest
import torch

from apollo_model.network.apollo import Apollo

VECTORS = Path(__file__).parents[2] / "vectors"


def small(seed: int = 0, **options: int | bool) -> Apollo:
    torch.manual_seed(seed)
    return Apollo(**{"feature_dim": 16, "layers": 2, **options}).eval()


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    with np.load(VECTORS / "apollo_dim32_layers2.npz") as content:
        return {name: torch.from_numpy(content[name]) for name in content.files}


@pytest.fixture(scope="module")
def published_network(published: dict[str, torch.Tensor]) -> Apollo:
    network = Apollo(feature_dim=32, layers=2).eval()
    prefix = "state/"
    state = {
        name.removeprefix(prefix): value
        for name, value in published.items()
        if name.startswith(prefix)
    }
    network.load_state_dict(state)
    return network


@torch.no_grad()
def test_gives_the_published_output(
    published: dict[str, torch.Tensor], published_network: Apollo
) -> None:
    error = published_network(published["input"]) - published["output"]
    assert error.abs().max() < 1e-6


@torch.no_grad()
def test_the_way_of_other_devices_gives_the_published_output(
    published: dict[str, torch.Tensor],
    published_network: Apollo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apollo_model.network.apollo.on_cpu", lambda tensor: False)
    error = published_network(published["input"]) - published["output"]
    assert error.abs().max() < 1e-6


def test_has_the_published_names_shapes_and_size() -> None:
    network = Apollo()
    assert network.context_frames == 54
    expected = json.loads((VECTORS / "apollo_official_shapes.json").read_text())
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert shapes == expected["state_dict"]
    assert len(shapes) == 654
    assert sum(parameter.numel() for parameter in network.parameters()) == 16_539_308


def test_its_own_rotary_tables_are_the_published_ones(
    published: dict[str, torch.Tensor],
) -> None:
    own = Apollo(feature_dim=32, layers=1).state_dict()
    for kind in ("cos", "sin"):
        name = f"net.0.band_net.{kind}_freq"
        torch.testing.assert_close(own[name], published[f"state/{name}"], atol=1e-6, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("samples", [1, 10, 441, 882, 13230, 13231])
def test_any_length_comes_back(samples: int, residual: bool) -> None:
    audio = noise(1, 2, samples)
    restored = small(residual=residual, layers=1)(audio)
    assert restored.shape == audio.shape
    assert bool(torch.isfinite(restored).all())
    if residual:
        torch.testing.assert_close(restored, audio, atol=1e-5, rtol=0)
    else:
        # A last frame divided by a vanishing window would show as a spike at the end.
        assert restored.abs().max() < 100 * restored.square().mean().sqrt() + 1e-3


@torch.no_grad()
def test_the_end_of_an_odd_length_has_no_spike() -> None:
    network = small(layers=1)
    audio = noise(1, 1, 4410)
    whole, odd = network(audio), network(audio[..., :4409])
    assert odd.abs().max() < 2 * whole.abs().max()


@pytest.mark.parametrize("shape", [(44100,), (2, 44100), (1, 1, 2, 44100), (1, 2, 0), (0, 2, 100)])
def test_refuses_what_is_not_batched_audio(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be \\(batch, channels, samples\\)"):
        small(layers=1)(torch.zeros(shape))


@pytest.mark.parametrize(
    "options", [{"feature_dim": 24}, {"feature_dim": 0}, {"layers": 0}, {"window_ms": 2}]
)
def test_refuses_sizes_that_cannot_be_built(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"feature_dim|layers|bins"):
        Apollo(**options)


@torch.no_grad()
def test_silence_stays_finite() -> None:
    for residual in (False, True):
        restored = small(residual=residual)(torch.zeros(1, 2, 4410))
        assert bool(torch.isfinite(restored).all())


def test_silence_has_a_finite_gradient() -> None:
    network = small()
    network(torch.zeros(1, 1, 4410)).square().mean().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert bool(torch.isfinite(parameter.grad).all())


@torch.no_grad()
def test_channels_and_items_do_not_see_one_another() -> None:
    network = small()
    audio = noise(2, 2, 4410)
    together = network(audio)
    for item in range(2):
        for channel in range(2):
            alone = network(audio[item : item + 1, channel : channel + 1])
            torch.testing.assert_close(alone[0, 0], together[item, channel], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_blocks_of_frames_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small()
    audio = noise(1, 1, 30 * 441)
    in_blocks = []
    for frames in (7, 1000):
        monkeypatch.setattr("apollo_model.network.frame_blocks.MOST_BLOCK_FRAMES", frames)
        in_blocks.append(network(audio))
    torch.testing.assert_close(*in_blocks, atol=1e-6, rtol=1e-5)


def test_residual_starts_as_identity_and_learns_from_the_first_step() -> None:
    network = small(residual=True)
    audio, target = noise(2, 2, 4410), noise(2, 2, 4410, seed=2)
    restored = network(audio)
    torch.testing.assert_close(restored, audio, atol=1e-5, rtol=0)
    (restored - target).square().mean().backward()
    for band in network.output:
        _, weight, bias = band.parameters()
        assert weight.grad.abs().max() > 0
        assert bias.grad.abs().max() > 0

    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    optimiser.step()
    optimiser.zero_grad()
    (network(audio) - target).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, f"{name} never learns"


def test_residual_can_fill_bands_that_a_codec_left_empty() -> None:
    # A correction in units of the empty band's own gain would have next to no effect.
    network = small(residual=True, layers=1)
    with torch.no_grad():
        for band, bins in zip(network.output, network.band_bins, strict=True):
            band[1].bias[: 2 * bins] = 0.3
    time = torch.arange(8820) / 44100
    tone = torch.sin(2 * torch.pi * 440 * time).reshape(1, 1, -1)
    with torch.no_grad():
        spectrum = network.analyse(network(tone)[0])
        assert (
            spectrum[0, 5, 300:].abs().mean() > 1e-2 * network.analyse(tone[0])[0, 5].abs().mean()
        )


@torch.no_grad()
def test_causal_output_does_not_depend_on_the_future() -> None:
    network = small(causal=True)
    audio = noise(1, 1, 40 * 441)
    changed = audio.clone()
    first = 25 * 441
    changed[..., first:] = noise(1, 1, 15 * 441, seed=3)
    before = first - network.window_samples
    one, other = network(audio), network(changed)
    torch.testing.assert_close(one[..., :before], other[..., :before], atol=1e-6, rtol=0)
    assert (one[..., first:] - other[..., first:]).abs().max() > 1e-3
    assert (small()(audio) - small()(changed))[..., :before].abs().max() > 1e-5


@torch.no_grad()
@pytest.mark.parametrize("pieces", [(1, 39), (5, 8, 27), (20, 20)])
def test_causal_spectrum_can_be_restored_in_pieces(pieces: tuple[int, ...]) -> None:
    network = small(causal=True, residual=True, seed=4)
    torch.nn.init.normal_(network.output[3][1].weight, std=0.1)
    spectrum = network.analyse(noise(2, 39 * 441))
    memory: dict[torch.nn.Module, torch.Tensor] = {}
    parts = [network.restore_spectrum(part, memory) for part in spectrum.split(pieces, 1)]
    whole = network.restore_spectrum(spectrum)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
    assert (whole - spectrum).abs().max() > 1e-2


def test_only_a_causal_network_works_in_pieces() -> None:
    network = small(layers=1)
    with pytest.raises(ValueError, match="only a causal network"):
        network.restore_spectrum(network.analyse(noise(1, 4410)), {})


@torch.no_grad()
@pytest.mark.parametrize("causal", [False, True])
def test_context_is_what_the_convolutions_reach(causal: bool) -> None:
    network = small(causal=causal, layers=1)
    assert small(layers=3).context_frames == 27
    assert network.context_frames == (18 if causal else 9)
    spectrum = network.analyse(noise(1, 60 * 441))
    changed = spectrum.clone()
    middle = 30
    changed[:, middle] *= 2.0
    moved = (network.restore_spectrum(changed) - network.restore_spectrum(spectrum)).abs()
    frames = torch.nonzero(moved[0].amax(-1) > 1e-7).flatten()
    assert frames[-1] == middle + network.context_frames
    assert frames[0] == (middle if causal else middle - network.context_frames)


@torch.no_grad()
def test_autocast_is_close_to_full_precision(published: dict[str, torch.Tensor]) -> None:
    network = small()
    audio = published["input"][..., :4410]
    exact = network(audio)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        quick = network(audio)
    assert quick.dtype == exact.dtype == torch.float32
    error = (quick - exact).norm() / exact.norm()
    assert 0 < error < 0.03


def test_autocast_trains() -> None:
    network = small(residual=True, layers=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(noise(1, 1, 2205)).square().mean()
    loss.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters())


@torch.no_grad()
def test_can_be_cast_to_bfloat16(published: dict[str, torch.Tensor]) -> None:
    audio = published["input"][..., :4410]
    exact, quick = small()(audio), small().bfloat16()(audio)
    assert quick.dtype == torch.float32
    assert (quick - exact).norm() / exact.norm() < 0.05


def test_settings_build_the_same_network() -> None:
    network = small(residual=True, causal=True)
    assert network.settings == {
        "sample_rate": 44100,
        "window_ms": 20,
        "feature_dim": 16,
        "layers": 2,
        "residual": True,
        "causal": True,
    }
    Apollo(**network.settings).load_state_dict(network.state_dict())


@torch.no_grad()
@pytest.mark.parametrize(("sample_rate", "window_ms"), [(22050, 20), (48000, 20), (44100, 40)])
def test_other_rates_and_windows_work(sample_rate: int, window_ms: int) -> None:
    network = small(sample_rate=sample_rate, window_ms=window_ms, layers=1, residual=True)
    audio = noise(1, 1, 5000)
    assert sum(network.band_bins) == network.hop_samples + 1
    torch.testing.assert_close(network(audio), audio, atol=1e-5, rtol=0)
