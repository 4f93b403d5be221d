"""Load networks from every checkpoint format in circulation, and save them as safetensors.

Read are safetensors and torch files. A torch file may hold the weights themselves or keep
them under any key, with any prefix, beside whatever a trainer stores; our own training states
are read too. docs/checkpoints.md lists the formats.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from apollo_data.errors import DataError
from apollo_data.storage import whole_file
from apollo_model.checkpoint.find_weights import Choice, FoundWeights, choose, find_networks
from apollo_model.checkpoint.hub import fetch_checkpoint, is_hub_name
from apollo_model.checkpoint.kinds import KINDS, NetworkKind, build, kind_of
from apollo_model.checkpoint.our_training_states import (
    is_training_state,
    network_settings,
    state_texts,
)
from apollo_model.checkpoint.plain_values import plain_texts
from apollo_model.checkpoint.unpickle import RefusedError, read_torch_file
from apollo_model.network.base import Network

NETWORK_KEY = "network"
"""Metadata entry with the network's settings as JSON."""

KIND_KEY = "kind"
"""Metadata entry with the network's kind; checkpoints without it hold an Apollo network."""

_DEFAULT_KIND = "apollo"
_SHOWN_NAMES = 3


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's network, and what was stored beside it.

    Attributes
    ----------
    file_format
        safetensors or torch.
    place
        Where in the file the weights were, as keys joined by "/"; empty for the file itself.
    metadata
        Texts: those of safetensors, or the plain values that a torch file holds.
    """

    network: Network
    file_format: str
    place: str
    metadata: dict[str, str]


def load_network(
    path: Path | str, device: torch.device | str = "cpu", weights: Choice = "auto"
) -> Network:
    """Read a network with all its weights, ready for use.

    A name such as "JusperLee/Apollo" that is no file here is fetched from the Hugging Face hub.
    Only our own files tell whether a network is residual or causal. For all others the size is
    read off the weights, and the rest is as published, at 44.1 kHz. Weights are converted to
    float32.

    Parameters
    ----------
    path : Path or str
        A file, or a name on the hub.
    device : torch.device or str
        Where the network is put. It does not matter where it was saved.
    weights : {"auto", "raw", "ema"}
        Which weights of a training state to take: those as trained, their moving average, or
        the average where there is one.

    Raises
    ------
    DataError
        There is no such file, it is damaged, would run code, or holds other names or
        shapes than a known network.
    ToolError
        It is a name on the hub, and the package that fetches it is not installed.
    """
    return load_checkpoint(path, weights).network.to(device)


def load_checkpoint(path: Path | str, weights: Choice = "auto") -> Checkpoint:
    """Read a network as `load_network` does, and return what was stored beside it too."""
    path = fetch_checkpoint(str(path)) if is_hub_name(path) else Path(path)
    content, texts = _read(path)
    found = _find(path, content, weights)
    stated = _stated_network(content, texts)
    kind = _kind_named(path, stated.get(KIND_KEY, found.kind))
    state = _float_weights(path, found)
    network = _new_network(path, kind, state, stated.get(NETWORK_KEY))
    _check_names(path, kind, network.state_dict(), state)
    network.load_state_dict(state)
    file_format = "torch" if texts is None else "safetensors"
    return Checkpoint(network.eval(), file_format, found.place, _texts(content, texts))


def save_network(
    network: Network,
    path: Path | str,
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a network's weights and settings as safetensors, whole or not at all.

    Parameters
    ----------
    network : Network
        Or any other of `KINDS`. May lie on any device.
    path : Path or str
        Missing folders are made.
    metadata : mapping of str to str
        Stored beside the weights, and given back by `read_metadata`. The entries "network"
        and "kind" are always the network's own.
    dtype : torch.dtype
        Type of the stored weights; a loaded network always has float32.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    texts = {**metadata, NETWORK_KEY: json.dumps(network.settings), KIND_KEY: kind_of(network)}
    weights = {
        name: (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    try:
        with whole_file(Path(path)) as temporary:
            temporary.write_bytes(safetensors.torch.save(weights, texts))
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"{path}: cannot be written ({_first_sentence(error)})") from None


def read_metadata(path: Path | str) -> dict[str, str]:
    """Return what is stored beside the weights: safetensors' texts, a torch file's plain values.

    Raises
    ------
    DataError
        There is no such file, it is damaged, or would run code.
    """
    return _texts(*_read(Path(path)))


def _read(path: Path) -> tuple[Any, dict[str, str] | None]:
    """Return what a file holds, and the texts of safetensors; None for a torch file."""
    try:
        if not path.is_dir() and path.exists() and not path.is_file():
            raise DataError(f"{path}: is no regular file; name a checkpoint file")
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
    return _read_torch(path), None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        if not _is_utf8(path):  # safetensors opens no other names
            content = path.read_bytes()
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            return safetensors.torch.load(content), header.get("__metadata__") or {}
        with safetensors.safe_open(path, framework="pt") as source:
            weights = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
            return weights, dict(source.metadata() or {})
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise _damaged(path, _first_sentence(error)) from None


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _read_torch(path: Path) -> Any:
    try:
        return read_torch_file(path)
    except RefusedError as error:
        raise DataError(
            f"{path}: refused, because it holds more than weights ({error}) and loading that could"
            " run code; ask for its weights as safetensors"
        ) from None
    except MemoryError:
        raise DataError(f"{path}: needs more memory than there is") from None
    except Exception:  # torch has no common error for damaged files, and its texts mislead
        raise _damaged(path, "not in a format of torch or safetensors") from None


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{path}: is damaged or no checkpoint ({reason}); fetch or save it again")


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].split(". ")[0] if lines else type(error).__name__


def _find(path: Path, content: Any, weights: Choice) -> FoundWeights:
    found = find_networks(content)
    if not found:
        landmarks = " or ".join(kind.landmark for kind in KINDS.values())
        if not isinstance(content, Mapping):
            held = f"holds a {type(content).__name__}, expected a network's weights"
            raise DataError(f"{path}: {held} (with {landmarks})")
        names = _some(map(str, content))
        raise DataError(f"{path}: holds no known network (no {landmarks}); found {names}")
    try:
        return choose(found, weights)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _stated_network(content: Any, texts: dict[str, str] | None) -> dict[str, str]:
    """Return what one of our own files says about its network, as texts."""
    if texts is not None:
        return texts
    return {NETWORK_KEY: network_settings(content)} if is_training_state(content) else {}


def _texts(content: Any, texts: dict[str, str] | None) -> dict[str, str]:
    if texts is not None:
        return texts
    return state_texts(content) if is_training_state(content) else plain_texts(content)


def _kind_named(path: Path, name: str) -> NetworkKind:
    if name not in KINDS:
        known = ", ".join(KINDS)
        raise DataError(
            f"{path}: holds a network of kind {name!r}; this version knows {known}; update it"
        )
    return KINDS[name]


def _float_weights(path: Path, found: FoundWeights) -> dict[str, Tensor]:
    for name, value in found.weights.items():
        if not isinstance(value, Tensor):
            shown = type(value).__name__
            raise DataError(f"{path}: {name} is a {shown}, expected a tensor of weights")
    return {
        name: value.detach().float() if value.is_floating_point() else value.detach()
        for name, value in found.weights.items()
    }


def _new_network(
    path: Path, kind: NetworkKind, state: dict[str, Tensor], stated: str | None
) -> Any:
    """Return a network of the size that the weights have, with the settings that are stated."""
    try:
        size = kind.size_of(state)
        settings: dict[str, Any] = dict(size)
        if stated is not None:
            settings = kind.settings.model_validate_json(stated).model_dump()
            for name in ("feature_dim", "layers", "planes", "rows"):
                if name in size and settings[name] != size[name]:
                    raise DataError(
                        f"{path}: metadata {name} is {settings[name]},"
                        f" its weights have {size[name]}"
                    )
        return build(kind, settings)
    except pydantic.ValidationError as error:
        reason = error.errors()[0]
        place = ".".join(map(str, reason["loc"])) or NETWORK_KEY
        raise DataError(f"{path}: metadata {place}: {reason['msg']}") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _check_names(
    path: Path, kind: NetworkKind, expected: dict[str, Tensor], found: dict[str, Tensor]
) -> None:
    title = kind.title
    if missing := [name for name in expected if name not in found]:
        raise DataError(f"{path}: lacks {len(missing)} of {title}'s weights: {_some(missing)}")
    if unknown := [name for name in found if name not in expected]:
        raise DataError(f"{path}: holds {len(unknown)} names unknown to {title}: {_some(unknown)}")
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
