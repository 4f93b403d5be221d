"""`convert`: any checkpoint to safetensors with a card."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from helpers.small_networks import loud_network, save_small
from typer.testing import CliRunner, Result

from apollo_data.errors import ApolloError
from apollo_model.checkpoint.formats import load_network, read_metadata
from apollo_model.checkpoint.network_identity import network_key
from apollo_model.cli import app


def convert(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def refusal(*arguments: Any) -> str:
    done = convert(*arguments)
    assert isinstance(done.exception, ApolloError), done.output
    return str(done.exception)


def test_a_foreign_checkpoint_becomes_safetensors_with_a_card(tmp_path: Path) -> None:
    network = loud_network(layers=1)
    source, out = tmp_path / "best.ckpt", tmp_path / "made" / "net.safetensors"
    state = {f"audio_model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "hyper_parameters": {"lr": 0.1}}, source)
    done = convert(source, out, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["kind"], found["feature_dim"]) == ("apollo", 16)
    assert network_key(load_network(out)) == network_key(network)
    metadata = read_metadata(out)
    assert metadata["epoch"] == "3"
    assert metadata["converted_from"] == "best.ckpt"
    assert metadata["converted_weights"] == "state_dict/audio_model"
    card = out.with_suffix(".md").read_text()
    assert "--checkpoint net.safetensors" in card
    assert '| hyper_parameters | {"lr": 0.1} |' in card


def test_a_folder_is_laid_out_for_the_hub(tmp_path: Path) -> None:
    source = save_small(tmp_path / "net.safetensors", causal=True)
    done = convert(source, tmp_path / "hub")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == [
        "README.md",
        "model.safetensors",
    ]
    loaded = load_network(tmp_path / "hub" / "model.safetensors")
    assert network_key(loaded) == network_key(load_network(source))
    assert loaded.causal
    assert 'name = "tiny"' in (tmp_path / "hub" / "README.md").read_text()


def test_sixteen_bits_halve_the_file(tmp_path: Path) -> None:
    source = save_small(tmp_path / "net.safetensors")
    small = tmp_path / "half.safetensors"
    assert convert(source, small, "--dtype", "float16").exit_code == 0
    assert small.stat().st_size < 0.6 * source.stat().st_size
    found = load_network(small).state_dict()
    for name, value in load_network(source).state_dict().items():
        assert torch.equal(found[name], value.half().float()), name
    wide = loud_network(layers=1)
    with torch.no_grad():
        wide.output[0][1].weight[0] = 1e6
    torch.save(wide.state_dict(), tmp_path / "wide.pt")
    told = refusal(tmp_path / "wide.pt", tmp_path / "w.safetensors", "--dtype", "float16")
    assert "output.0.1.weight has values too large for float16" in told


def test_what_exists_is_not_replaced_unasked(tmp_path: Path) -> None:
    source, out = save_small(tmp_path / "net.safetensors"), tmp_path / "out.safetensors"
    assert convert(source, out).exit_code == 0
    assert "exists already" in refusal(source, out)
    assert convert(source, out, "--overwrite").exit_code == 0
    out.with_suffix(".md").unlink()
    assert "is the source itself" in refusal(out, out, "--overwrite")


def test_wrong_inputs_and_outputs_are_told(tmp_path: Path) -> None:
    source = save_small(tmp_path / "net.safetensors")
    assert "must end with .safetensors" in refusal(source, tmp_path / "out.pt")
    assert "no such file" in refusal(tmp_path / "none.pt", tmp_path / "out.safetensors")
    assert "holds no ema weights" in refusal(source, tmp_path / "o.safetensors", "--weights", "ema")
    (tmp_path / "file").touch()
    told = refusal(source, tmp_path / "file" / "o.safetensors")
    assert "cannot be written" in told or "Not a directory" in told
    assert convert(source).exit_code == 2


def test_names_of_any_bytes(tmp_path: Path) -> None:
    source = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.pt"))
    torch.save({"state_dict": loud_network(layers=1).state_dict(), "by": "\udce9"}, source)
    done = convert(source, tmp_path / "out.safetensors", "--json")
    assert done.exit_code == 0, done.output
    assert read_metadata(tmp_path / "out.safetensors")["converted_from"] == "caf?.pt"
    out = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.safetensors"))
    assert convert(source, out).exit_code == 0
    assert out.is_file()
    assert "--checkpoint caf?.safetensors" in out.with_suffix(".md").read_text()
    os.mkfifo(tmp_path / "pipe")
    assert "is no regular file" in refusal(tmp_path / "pipe", tmp_path / "x.safetensors")
