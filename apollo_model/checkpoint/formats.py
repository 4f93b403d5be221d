"""Networks from every checkpoint format in circulation, and out as safetensors.

Read are safetensors and torch files that hold `{"state_dict"}` (the official release and
trainers, which prefix the names), `{"model_state_dict"}` or the bare weights. A torch file
is a pickle, which may hold any program; it is read by torch's restricted reader, which
builds tensors and plain containers and runs nothing.
"""

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from apollo_data.errors import DataError
from apollo_data.storage import whole_file
from apollo_model.checkpoint.hub import fetch_checkpoint, is_hub_name
from apollo_model.network.apollo import BANDS, Apollo

NETWORK_KEY = "network"
"""Metadata entry with the network's settings as JSON."""

_LANDMARK = "BN.0.1.weight"
_SAMPLE_RATE = 44100
_SHOWN_NAMES = 3


class _NetworkMetadata(pydantic.BaseModel):
    """What `save_network` writes; the limits keep a strange file from asking for all memory."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    sample_rate: int = pydantic.Field(gt=0, le=768_000)
    window_ms: int = pydantic.Field(gt=0, le=100)
    feature_dim: int
    layers: int
    residual: bool
    causal: bool


def load_network(path: Path | str, device: torch.device | str = "cpu") -> Apollo:
    """Read a network with all its weights, ready for use.

    A name such as "JusperLee/Apollo" that is no file here is fetched from the Hugging Face hub.
    Only our own safetensors tell whether a network is residual or causal; for all other
    formats the size is read off the weights, and the rest is as published, at 44.1 kHz.
    Weights are converted to float32.

    Raises
    ------
    DataError
        There is no such file, it is damaged, would run code, or holds other names or
        shapes than an Apollo network.
    ToolError
        It is a name on the hub, and the package that fetches it is not installed.
    """
    path = fetch_checkpoint(str(path)) if is_hub_name(path) else Path(path)
    weights, metadata = _read(path)
    state = _network_part(path, weights)
    network = _new_network(path, state, metadata)
    _check_names(path, network.state_dict(), state)
    network.load_state_dict(state)
    return network.to(device).eval()


def save_network(network: Apollo, path: Path | str, metadata: Mapping[str, str]) -> None:
    """Write a network's weights and settings as safetensors, whole or not at all.

    Parameters
    ----------
    network : Apollo
        May lie on any device.
    path : Path or str
        Its folder is made if need be.
    metadata : mapping of str to str
        Stored beside the weights, and given back by `read_metadata`; the entry "network"
        is always the network's own settings.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    texts = {**metadata, NETWORK_KEY: json.dumps(network.settings)}
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    try:
        with whole_file(Path(path)) as temporary:
            safetensors.torch.save_file(weights, temporary, texts)
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"{path}: cannot be written ({_first_sentence(error)})") from None


def read_metadata(path: Path | str) -> dict[str, str]:
    """Return the texts stored beside the weights of safetensors; other formats have none.

    Raises
    ------
    DataError
        There is no such file, or it is damaged.
    """
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[dict[Any, Any], dict[str, str]]:
    """Return what a file of either kind holds, and its metadata."""
    try:
        with path.open("rb") as source:
            head = source.read(9)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; name a checkpoint") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder; name a checkpoint file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise DataError(f"{path}: is empty, expected a checkpoint; fetch or save it again")
    if head[8:] == b"{":  # safetensors: 8 bytes of length, then a JSON object
        return _read_safetensors(path)
    if head[0] == 0x80 and head[1:2] > b"\x02":  # torch itself writes protocol 2
        raise _refusal(path, "a plain pickle")
    return _read_torch(path), {}


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="pt") as source:
            weights = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
            return weights, dict(source.metadata() or {})
    except (OSError, safetensors.SafetensorError) as error:
        raise _damaged(path, error) from None


def _read_torch(path: Path) -> dict[Any, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common error for damaged files
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise _refusal(path, found[1]) from None
        raise _damaged(path, error) from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}, expected a network's weights")
    for key in ("state_dict", "model_state_dict"):
        if isinstance(content.get(key), dict):
            inner: dict[Any, Any] = content[key]
            return inner
    return content


def _refusal(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: refused, because it holds more than weights ({what}) and loading that could"
        " run code; ask for its weights as safetensors"
    )


def _damaged(path: Path, error: Exception) -> DataError:
    # torch's own text goes on to recommend loading without the restriction.
    unknown = isinstance(error, pickle.UnpicklingError)
    reason = "not in a format of torch or safetensors" if unknown else _first_sentence(error)
    return DataError(f"{path}: is damaged or no checkpoint ({reason}); fetch or save it again")


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0] if lines else type(error).__name__


def _network_part(path: Path, content: dict[Any, Any]) -> dict[str, Tensor]:
    """Return the generator's weights in float32, without the prefix that trainers give them."""
    names = [name for name in content if isinstance(name, str) and name.endswith(_LANDMARK)]
    if not names:
        raise DataError(
            f"{path}: holds no Apollo network (no {_LANDMARK}); found {_some(map(str, content))}"
        )
    prefix = min(names, key=len).removesuffix(_LANDMARK)
    state = {}
    for name, value in content.items():
        if not isinstance(name, str) or not name.startswith(prefix):
            continue
        if not isinstance(value, Tensor):
            raise DataError(
                f"{path}: {name} is a {type(value).__name__}, expected a tensor of weights"
            )
        state[name.removeprefix(prefix)] = value.float()
    return state


def _new_network(path: Path, state: dict[str, Tensor], metadata: dict[str, str]) -> Apollo:
    """Return a network of the size that the weights have, as the metadata describes it."""
    size = _size_of(path, state)
    settings: dict[str, Any] = dict(size)
    if NETWORK_KEY in metadata:
        try:
            settings = _NetworkMetadata.model_validate_json(metadata[NETWORK_KEY]).model_dump()
        except pydantic.ValidationError as error:
            reason = error.errors()[0]
            place = ".".join(map(str, reason["loc"])) or NETWORK_KEY
            raise DataError(f"{path}: metadata {place}: {reason['msg']}") from None
        for name in ("feature_dim", "layers"):
            if settings[name] != size[name]:
                raise DataError(
                    f"{path}: metadata {name} is {settings[name]}, its weights have {size[name]}"
                )
    try:
        # Loading must not disturb the random numbers of whoever loads.
        with torch.random.fork_rng(devices=[]):
            return Apollo(**settings)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _size_of(path: Path, state: dict[str, Tensor]) -> dict[str, int]:
    """Read N, the depth, and from the bands' bins the window, off the weights."""
    inputs = [state.get(f"BN.{band}.1.weight", torch.empty(0)).shape for band in range(BANDS)]
    if any(len(shape) != 3 for shape in inputs):
        raise DataError(f"{path}: BN.*.1.weight are not the 1x1 convolutions of {BANDS} bands")
    bins = sum((shape[1] - 1) // 2 for shape in inputs)
    layers = {int(found[1]) for name in state if (found := re.match(r"net\.(\d{1,3})\.", name))}
    return {
        "sample_rate": _SAMPLE_RATE,
        "window_ms": round(2 * (bins - 1) * 1000 / _SAMPLE_RATE),
        "feature_dim": inputs[0][0],
        "layers": max(layers, default=0) + 1,
    }


def _check_names(path: Path, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    if missing := [name for name in expected if name not in found]:
        raise DataError(f"{path}: lacks {len(missing)} of Apollo's weights: {_some(missing)}")
    if unknown := [name for name in found if name not in expected]:
        raise DataError(f"{path}: holds {len(unknown)} names unknown to Apollo: {_some(unknown)}")
    for name, value in expected.items():
        if found[name].shape != value.shape:
            raise DataError(
                f"{path}: {name} has shape {tuple(found[name].shape)},"
                f" expected {tuple(value.shape)}"
            )


def _some(names: Any) -> str:
    every = list(names)
    shown = ", ".join(every[:_SHOWN_NAMES])
    return f"{shown}, ..." if len(every) > _SHOWN_NAMES else shown or "nothing"
