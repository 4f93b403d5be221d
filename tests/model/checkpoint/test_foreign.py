"""Checkpoints as trainers write them: their own objects beside the weights, and attacks."""

import argparse
import collections
import datetime
import decimal
import enum
import functools
import gzip
import io
import os
import pickle
import re
import subprocess
import types
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Optional

import numpy as np
import pytest
import torch

from apollo_data.errors import DataError
from apollo_model.checkpoint.formats import load_checkpoint, load_network
from apollo_model.checkpoint.network_identity import network_key
from apollo_model.network.apollo import Apollo

VECTORS = Path(__file__).parents[2] / "vectors" / "checkpoints"


@pytest.fixture(scope="module")
def network() -> Apollo:
    torch.manual_seed(0)
    return Apollo(feature_dim=16, layers=1).eval()


def constant_network() -> Apollo:
    """The network in the vectors."""
    network = Apollo(feature_dim=16, layers=1)
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            parameter.fill_(number / 1024)
    return network


def unpacked(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(gzip.decompress((VECTORS / f"{name}.gz").read_bytes()))
    return path


def test_reads_what_lightning_writes(tmp_path: Path) -> None:
    path = unpacked("lightning.ckpt", tmp_path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)  # torch's own reader refuses it
    found = load_checkpoint(path)
    assert network_key(found.network) == network_key(constant_network())
    assert found.place == "state_dict/audio_model"
    assert found.metadata["epoch"] == "0"
    assert found.metadata["pytorch-lightning_version"] == "2.6.6"
    assert '"bitrates": ["random", 24]' in found.metadata["hyper_parameters"]
    assert '"best": 13.5' in found.metadata["hyper_parameters"]
    assert '"root": "Exps"' in found.metadata["hyper_parameters"]


def test_reads_containers_of_omegaconf(tmp_path: Path) -> None:
    found = load_checkpoint(unpacked("omegaconf.pt", tmp_path))
    assert network_key(found.network) == network_key(constant_network())
    assert found.metadata["options"] == '[1, {"a": "b"}]'
    assert found.metadata["best"] == "2.5"
    assert '"betas": [0.5, 0.99], "schedule": "step"' in found.metadata["config"]


class Colour(enum.Enum):
    RED = 1


class Configuration(dict):  # type: ignore[type-arg]
    """As ConfigDict, AttributeDict, EasyDict, CfgNode and others are built."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.__dict__ = self


BESIDE: dict[str, Any] = {
    "torch's version": torch.__version__,
    "numpy": [np.float64(3.5), np.int32(2), np.arange(3), np.dtype("f4"), np.bool_(True)],
    "path": {"dir": Path("runs"), "other": PurePosixPath("/a/b")},
    "namespace": argparse.Namespace(lr=1e-3, gpus=[0]),
    "simple namespace": types.SimpleNamespace(a=1),
    "defaultdict": collections.defaultdict(int, a=1),
    "deque": collections.deque([1, 2], maxlen=3),
    "counter": collections.Counter("abca"),
    "dates": [datetime.datetime(2025, 1, 2), datetime.timedelta(1), datetime.timezone.utc],
    "numbers": [decimal.Decimal("1.5"), 2**70, complex(1, 2), b"bytes", bytearray(b"more")],
    "sets": [{1, 2}, frozenset({3}), slice(1, 2), range(3)],
    "uuid": uuid.UUID(int=5),
    "enum": Colour.RED,
    "config": Configuration(a=1, b=Configuration(c=2)),
    "partial": functools.partial(torch.optim.AdamW, lr=1e-3),
    "types": [torch.float16, torch.device("cuda:1"), torch.Size([1, 2]), int, torch.nn.Linear],
    "functions": [torch.nn.functional.mse_loss, Path.touch],
    "pattern": re.compile("a+"),
    "typing": [Any, dict[str, int], Optional[int]],  # noqa: UP045 (stored otherwise)
    "cycle": [],
}
BESIDE["cycle"].append(BESIDE["cycle"])


@pytest.mark.parametrize("how", [2, 4, "old"])
def test_reads_what_stands_beside_the_weights(
    tmp_path: Path, network: Apollo, how: int | str
) -> None:
    path = tmp_path / "n.ckpt"
    content = {"state_dict": network.state_dict(), "infos": BESIDE, "epoch": 3}
    old = {"_use_new_zipfile_serialization": False} if how == "old" else {"pickle_protocol": how}
    torch.save(content, path, **old)  # type: ignore[arg-type]
    found = load_checkpoint(path)
    assert network_key(found.network) == network_key(network)
    assert found.metadata["epoch"] == "3"


def test_plain_values_are_read(tmp_path: Path, network: Apollo) -> None:
    path = tmp_path / "n.ckpt"
    torch.save({"state_dict": network.state_dict(), **BESIDE}, path)
    found = load_checkpoint(path).metadata
    assert found["torch's version"] == str(torch.__version__)
    assert found["numpy"].startswith("[3.5, 2, ")
    assert found["path"] == '{"dir": "runs", "other": "/a/b"}'
    assert found["namespace"] == '{"lr": 0.001, "gpus": [0]}'
    assert found["defaultdict"] == '{"a": 1}'
    assert found["deque"] == "[1, 2]"
    assert '"c": 2' in found["config"]
    assert found["uuid"]
    assert "cycle" not in found


PLACES: dict[str, Callable[[Apollo], Any]] = {
    "a whole module": lambda network: network,
    "ddp": lambda network: {f"module.{k}": v for k, v in network.state_dict().items()},
    "compiled": lambda network: {f"_orig_mod.{k}": v for k, v in network.state_dict().items()},
    "compiled inside": lambda network: {
        name.replace("net.0", "net.0._orig_mod"): value
        for name, value in network.state_dict().items()
    },
    "model": lambda network: {"model": network.state_dict(), "step": 1},
    "generator": lambda network: {"generator": network.state_dict(), "discriminator": {}},
    "best_model": lambda network: {"best_model": network.state_dict()},
    "nested": lambda network: {"states": [{"weights": network.state_dict()}]},
    "parameters": lambda network: {"state_dict": dict(network.named_parameters())
                                   | dict(network.named_buffers())},
}  # fmt: skip


@pytest.mark.parametrize("kind", PLACES)
def test_finds_the_weights_wherever_they_are(tmp_path: Path, network: Apollo, kind: str) -> None:
    path = tmp_path / "n.pt"
    torch.save(PLACES[kind](network), path)
    assert network_key(load_network(path)) == network_key(network)


def test_chooses_between_raw_and_averaged_weights(tmp_path: Path, network: Apollo) -> None:
    raw = Apollo(feature_dim=16, layers=1)
    path = tmp_path / "n.pt"
    torch.save({"state_dict": raw.state_dict(), "state_dict_ema": network.state_dict()}, path)
    assert load_checkpoint(path).place == "state_dict_ema"
    assert network_key(load_network(path)) == network_key(network)
    assert network_key(load_network(path, weights="raw")) == network_key(raw)
    torch.save({"state_dict": raw.state_dict()}, path)
    with pytest.raises(DataError, match="holds no ema weights; found those in state_dict"):
        load_network(path, weights="ema")


def test_weights_saved_on_a_gpu_load_on_a_cpu(tmp_path: Path, network: Apollo) -> None:
    path, moved = tmp_path / "cpu.pt", tmp_path / "cuda.pt"
    torch.save({"state_dict": network.state_dict()}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(moved, "w") as out:
        for item in source.infolist():
            content = source.read(item)
            if item.filename.endswith("data.pkl"):
                assert b"X\x03\x00\x00\x00cpu" in content
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            out.writestr(item, content)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(moved, weights_only=True)
    assert network_key(load_network(moved)) == network_key(network)


class Call:
    """Calls any function with any arguments when it is unpickled without restriction."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def someone_elses_function(path: str) -> None:
    Path(path).touch()


ATTACKS: dict[str, Callable[[str], Any]] = {
    "shell": lambda path: Call(os.system, f"touch {path}"),
    "process": lambda path: Call(subprocess.Popen, ["touch", path]),
    "eval": lambda path: Call(eval, f"open({path!r}, 'w')"),
    "own function": lambda path: Call(someone_elses_function, path),
    "numpy": lambda path: Call(np.save, path, [1]),
    "torch": lambda path: Call(torch.save, [1], path),
    "method": lambda path: Call(Path.touch, Path(path)),
    "partial": lambda path: Call(functools.partial(Path.touch, Path(path))),
    "inner pickle": lambda path: Call(
        torch.storage._load_from_bytes, pickle.dumps(Call(os.system, f"touch {path}"))
    ),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ATTACKS)
def test_what_would_run_is_refused(
    tmp_path: Path, network: Apollo, kind: str, protocol: int
) -> None:
    target, path = tmp_path / "ran", tmp_path / "bad.ckpt"
    content = {"state_dict": network.state_dict(), "x": ATTACKS[kind](str(target))}
    torch.save(content, path, pickle_protocol=protocol)
    with pytest.raises(DataError, match=r"^[^\n]*bad.ckpt: refused, .*could run code"):
        load_network(path)
    assert not list(tmp_path.glob("ran*"))


def raw_pickle(network: Apollo, opcodes: bytes) -> bytes:
    """A checkpoint whose pickle is written by hand."""
    source = io.BytesIO()
    torch.save({"state_dict": network.state_dict()}, source)
    out = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for item in old.infolist():
            is_pickle = item.filename.endswith("data.pkl")
            new.writestr(item, opcodes if is_pickle else old.read(item))
    return out.getvalue()


@pytest.mark.parametrize(
    "opcodes",
    [
        # BUILD with slots sets attributes: on a builder, on a placeholder class, on an object.
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}X\x08\x00\x00\x00__call__K\x01stb.",
        b"\x80\x02csome.where\nThing\n(N}X\x0d\x00\x00\x00may_be_calledK\x01stb.",
        b"\x80\x02ccollections\nOrderedDict\n)R(N}X\x05\x00\x00\x00itemsK\x01stb.",
        # A method of a builder by a dotted name; a lower-case call; an unknown extension.
        b"\x80\x04\x8c\x0ctorch._utils\x8c\x1a_rebuild_tensor_v2.__call__\x93.",
        b"\x80\x02cno.such.module\nfunction\n)R.",
        b"\x80\x02\x82\x05.",
    ],
)
def test_pickles_written_by_hand_change_nothing(
    tmp_path: Path, network: Apollo, opcodes: bytes
) -> None:
    path = tmp_path / "bad.ckpt"
    path.write_bytes(raw_pickle(network, opcodes))
    with pytest.raises(DataError, match=r"refused|damaged|holds"):
        load_network(path)
    torch.save({"state_dict": network.state_dict()}, path)
    assert network_key(load_network(path)) == network_key(network)


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    path.write_bytes(b"")
    with zipfile.ZipFile(path, "w") as out:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            out.writestr(f"program/{name}", b"\x80\x02}.")
    with pytest.raises(DataError, match=r"refused, .*a TorchScript program"):
        load_network(path)
