"""What `info` and `bench` say, and networks by name."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from helpers.small_networks import loud_network, save_small
from typer.testing import CliRunner

from apollo_data.errors import DataError, ToolError
from apollo_model.benchmark.speed import count_operations, measure
from apollo_model.checkpoint.formats import load_network
from apollo_model.cli import app
from apollo_model.network.precision import choose_device, choose_dtype


def test_info_tells_what_a_checkpoint_holds(tmp_path: Path) -> None:
    path = save_small(tmp_path / "net.safetensors", causal=True)
    card = tmp_path / "README.md"
    done = CliRunner().invoke(app, ["info", str(path), "--json", "--card", str(card)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    own = sum(value.numel() for value in load_network(path).parameters())
    expected = {
        "file_format": "safetensors", "feature_dim": 16, "layers": 1, "form": "residual",
        "causal": True, "parameters": own, "context_seconds": 0.18, "sample_rate": 44100,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert found["metadata"]["epoch"] == "3"
    assert "Apollo, residual form, causal" in card.read_text()
    assert 'name = "tiny"' in card.read_text()
    torch.save(loud_network().state_dict(), tmp_path / "bare.pt")
    shown = CliRunner().invoke(app, ["info", str(tmp_path / "bare.pt")]).stdout
    assert "torch" in shown
    assert "published" in shown


def test_a_name_needs_the_hub_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ToolError, match=r"JusperLee/Apollo: .*apollo-toolkit\[hub\].*path"):
        load_network("JusperLee/Apollo")


def test_a_name_is_fetched_where_the_package_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = save_small(tmp_path / "net.safetensors")
    package, errors = ModuleType("huggingface_hub"), ModuleType("huggingface_hub.errors")
    errors.EntryNotFoundError = type("EntryNotFoundError", (Exception,), {})
    errors.LocalEntryNotFoundError = type("Local", (errors.EntryNotFoundError,), {})
    package.try_to_load_from_cache = lambda name, file: None

    def download(name: str, file: str) -> str:
        if name != "someone/net":
            raise OSError("no\nroute")
        if file == "model.safetensors":
            raise errors.EntryNotFoundError
        return str(path)

    package.hf_hub_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", package)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    assert load_network("someone/net").layers == 1
    with pytest.raises(
        DataError, match=r"^else/net: cannot be fetched from the hub \(no route\); .*path$"
    ):
        load_network("else/net")


def test_bench_counts_the_operations_of_the_network() -> None:
    network = loud_network(layers=1)
    one, two = (count_operations(network, torch.zeros(1, 1, 441 * n)) for n in (20, 41))
    assert two == 2 * one  # 21 and 42 frames
    found = measure(network, runs=2, clip_seconds=0.1)
    (timing,) = found.timings
    assert (timing.mode, timing.runs) == ("eager", 2)
    assert timing.real_time_factor == pytest.approx(timing.mean_seconds / 0.1)
    assert timing.best_seconds <= timing.median_seconds
    rate = found.operations / timing.best_seconds
    assert timing.matmul_share == pytest.approx(rate / found.matmul_operations_per_second)


def test_devices_and_types_are_chosen_or_refused() -> None:
    cpu = choose_device("cpu")
    assert choose_dtype("bfloat16", cpu) is torch.bfloat16
    assert choose_dtype("auto", cpu) in (torch.float32, torch.bfloat16)
    with pytest.raises(ToolError, match="expected auto, cpu, cuda"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(ToolError, match="torch finds none here"):
            choose_device("cuda")
