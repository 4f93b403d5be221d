import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from apollo_data.errors import DataError
from apollo_model.checkpoint.formats import load_network, read_metadata, save_network
from apollo_model.network.apollo import Apollo


@pytest.fixture(scope="module")
def network() -> Apollo:
    torch.manual_seed(0)
    return Apollo(feature_dim=16, layers=2).eval()


def weights(network: Apollo) -> dict[str, torch.Tensor]:
    return dict(network.state_dict())


def prefixed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    beside = {"discriminator.discriminators.0.weight": torch.zeros(3)}
    return {**{f"audio_model.{name}": value for name, value in state.items()}, **beside}


FORMATS: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "official": lambda state: {
        "model_name": "Apollo",
        "state_dict": state,
        "model_args": {"n_src": 1},
        "infos": {"software_versions": {"torch_version": "2.0"}},
    },
    "trainer": lambda state: {"epoch": 3, "global_step": 9, "state_dict": prefixed(state)},
    "model_state_dict": lambda state: {"model_state_dict": state, "epoch": 1},
    "bare": lambda state: state,
}


def refusal(path: Path) -> str:
    """The one-line error that a path gives, from both readers."""
    with pytest.raises(DataError) as caught:
        load_network(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def assert_same(found: Apollo, expected: Apollo) -> None:
    assert found.settings == expected.settings
    state = found.state_dict()
    for name, value in expected.state_dict().items():
        assert torch.equal(state[name], value), name
    audio = 0.1 * torch.randn(1, 1, 2205, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(found(audio), expected(audio))


@pytest.mark.parametrize("kind", FORMATS)
def test_reads_every_format(tmp_path: Path, network: Apollo, kind: str) -> None:
    path = tmp_path / "network.bin"
    torch.save(FORMATS[kind](weights(network)), path)
    found = load_network(path)
    assert_same(found, network)
    assert not found.training
    assert all(parameter.requires_grad for parameter in found.parameters())
    epoch = {"trainer": "3", "model_state_dict": "1"}.get(kind)
    assert read_metadata(path).get("epoch") == epoch


def test_reads_old_torch_files_and_half_precision(tmp_path: Path, network: Apollo) -> None:
    path = tmp_path / "old.pt"
    torch.save(weights(network), path, _use_new_zipfile_serialization=False)
    assert_same(load_network(path), network)
    half = {name: value.half() for name, value in weights(network).items()}
    torch.save(half, path)
    assert {value.dtype for value in load_network(path).state_dict().values()} == {torch.float32}


def test_reads_foreign_safetensors(tmp_path: Path, network: Apollo) -> None:
    path = tmp_path / "foreign.ckpt"
    safetensors.torch.save_file(prefixed(weights(network)), path)
    assert_same(load_network(path), network)
    assert read_metadata(path) == {}


@pytest.mark.parametrize("feature_dim", [16, 48])
def test_reads_size_off_the_weights(tmp_path: Path, feature_dim: int) -> None:
    wide = Apollo(feature_dim=feature_dim, layers=3, window_ms=40)
    path = tmp_path / "wide.pt"
    torch.save(weights(wide), path)
    assert load_network(path).settings == wide.settings


@pytest.mark.parametrize("options", [{"residual": True}, {"causal": True, "sample_rate": 48000}])
def test_ours_come_back_with_settings_and_metadata(tmp_path: Path, options: dict[str, Any]) -> None:
    network = Apollo(feature_dim=16, layers=1, **options).eval()
    path = tmp_path / "new" / "network.safetensors"
    save_network(network, path, {"steps": "12", "network": "overruled"})
    assert_same(load_network(str(path)), network)
    metadata = read_metadata(path)
    assert metadata["steps"] == "12"
    assert json.loads(metadata["network"]) == network.settings
    assert [file.name for file in path.parent.iterdir()] == ["network.safetensors"]


def test_loading_draws_no_random_number(tmp_path: Path, network: Apollo) -> None:
    save_network(network, tmp_path / "n.safetensors", {})
    torch.manual_seed(3)
    load_network(tmp_path / "n.safetensors")
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), after)


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, network: Apollo, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "n.safetensors"
    save_network(network, path, {})

    def fail(where: Path, _content: bytes) -> None:
        where.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(DataError, match=r"cannot be written .*No space left"):
        save_network(network, path, {})
    assert_same(load_network(path), network)
    assert list(tmp_path.iterdir()) == [path]


class Attack:
    """Makes a file when it is unpickled without restriction."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


class Program:
    """Runs a function by name, as real attacks do."""

    def __init__(self, target: Path) -> None:
        self.code = f"open({str(target)!r}, 'w')"

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (self.code,))


@pytest.mark.parametrize("attack", [Attack, Program])
@pytest.mark.parametrize("how", ["pickle", "torch", "old torch"])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(
    tmp_path: Path, network: Apollo, attack: type, how: str
) -> None:
    target, path = tmp_path / "ran", tmp_path / "bad.pt"
    content = {"state_dict": weights(network), "model_args": attack(target)}
    if how == "pickle":
        path.write_bytes(pickle.dumps({"model_args": attack(target)}))
        pickle.loads(path.read_bytes())
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
        torch.load(path, weights_only=False)
    assert target.exists(), "the attack itself must work"
    target.unlink()
    message = refusal(path)
    assert "refused" in message
    assert "run code" in message
    with pytest.raises(DataError):
        read_metadata(path)
    assert not target.exists()


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "missing.pt")
    assert "is a folder" in refusal(tmp_path)
    empty = tmp_path / "empty.pt"
    empty.touch()
    assert "is empty" in refusal(empty)
    text = tmp_path / "text.pt"
    text.write_text("<html>not found</html>")
    assert "damaged or no checkpoint" in refusal(text)
    number = tmp_path / "number.pt"
    torch.save([1, 2], number)
    assert "holds a list" in refusal(number)


@pytest.mark.parametrize("kept", [5, 100, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["torch", "old torch", "safetensors"])
def test_truncated_files(tmp_path: Path, network: Apollo, kind: str, kept: float) -> None:
    path = tmp_path / "cut"
    if kind == "safetensors":
        save_network(network, path, {})
    else:
        torch.save(weights(network), path, _use_new_zipfile_serialization=kind == "torch")
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    assert "damaged or no checkpoint" in refusal(path)
    with pytest.raises(DataError):
        read_metadata(path)


def saved(path: Path, state: dict[str, Any]) -> Path:
    torch.save(state, path)
    return path


def test_other_names_and_shapes(tmp_path: Path, network: Apollo) -> None:
    path = tmp_path / "n.pt"
    state = weights(network)

    lacking = {name: value for name, value in state.items() if "output.7." not in name}
    message = refusal(saved(path, lacking))
    assert "lacks 3" in message
    assert "output.7.0.weight" in message

    extra = {**state, **{f"more.{index}": torch.zeros(1) for index in range(9)}}
    message = refusal(saved(path, extra))
    assert "9 names unknown" in message
    assert "more.0, more.1, more.2, ..." in message

    message = refusal(saved(path, {**state, "output.3.1.bias": torch.zeros(7)}))
    assert "output.3.1.bias has shape (7,), expected (20,)" in message

    message = refusal(saved(path, {**state, "output.3.1.bias": "nonsense"}))
    assert "output.3.1.bias is a str" in message

    assert "no BN.0.1.weight" in refusal(saved(path, {"encoder.weight": torch.zeros(1)}))
    assert "found nothing" in refusal(saved(path, {}))
    assert "80 bands" in refusal(saved(path, {**state, "BN.4.1.weight": torch.zeros(3)}))
    odd = {**state, "BN.79.1.weight": torch.zeros(16, 97, 1)}
    assert "BN.79.1.weight has shape (16, 97, 1)" in refusal(saved(path, odd))
    thin = {f"BN.{band}.1.weight": torch.zeros(3, 11, 1) for band in range(79)}
    thin["BN.79.1.weight"] = torch.zeros(3, 95, 1)
    assert "multiple of 16" in refusal(saved(path, thin))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"layers": 10**9}, "metadata layers is 1000000000, its weights have 2"),
        ({"window_ms": 10**9}, "metadata window_ms"),
        ({"residual": "yes"}, "metadata residual"),
        ({"width": 3}, "metadata width"),
        ({"feature_dim": 32}, "metadata feature_dim is 32, its weights have 16"),
    ],
)
def test_strange_metadata(
    tmp_path: Path, network: Apollo, changes: dict[str, Any], found: str
) -> None:
    path = tmp_path / "n.safetensors"
    text = json.dumps({**network.settings, **changes})
    safetensors.torch.save_file(weights(network), path, {"network": text})
    assert found in refusal(path)
    safetensors.torch.save_file(weights(network), path, {"network": "{"})
    assert "metadata network" in refusal(path)
