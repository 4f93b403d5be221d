"""Find a network's weights in what a checkpoint holds, by a name that the network has.

Trainers store weights under many keys, prefix their names, and keep discriminators, averages
(EMA) and optimisers beside them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from apollo_model.checkpoint.kinds import KINDS, NetworkKind
from apollo_model.checkpoint.unpickle import Placeholder

Choice = Literal["auto", "raw", "ema"]
"""Which weights to take: the averaged ones (EMA), those as trained, or EMA where there is one."""

_AVERAGED = re.compile(r"(^|[._/])(ema|averaged?|swa)([._/]|$)", re.IGNORECASE)
_WRAPPERS = re.compile(r"\b(_orig_mod|_checkpoint_wrapped_module)\.")
_DEEPEST = 5
_USUAL_KEYS = ("state_dict", "model_state_dict", "network", "generator", "model")


@dataclass(frozen=True)
class FoundWeights:
    """The weights of one network in a checkpoint.

    Attributes
    ----------
    place
        The keys that lead to them, and the prefix of their names, joined by "/".
    """

    kind: str
    place: str
    weights: dict[str, Any]

    @property
    def averaged(self) -> bool:
        """Whether these are averaged over training (EMA or SWA), by the name of their place."""
        return _AVERAGED.search(self.place) is not None


def find_networks(content: Any) -> list[FoundWeights]:
    """Return every network in a checkpoint's content, the most likely one first."""
    found = [
        network
        for place, mapping in _mappings(content, "", 0, set())
        for name, kind in KINDS.items()
        for network in _in_mapping(name, kind, place, mapping)
    ]
    return sorted(found, key=_likelihood)


def choose(found: list[FoundWeights], choice: Choice) -> FoundWeights:
    """Return the first network that is of the chosen weights.

    Raises
    ------
    ValueError
        There is none; says which there are.
    """
    averaged = [network for network in found if network.averaged]
    raw = [network for network in found if not network.averaged]
    wanted = {"ema": averaged, "raw": raw, "auto": averaged or raw}[choice]
    if not wanted:
        places = ", ".join(network.place or "the file itself" for network in found)
        raise ValueError(f"holds no {choice} weights; found those in {places}")
    return wanted[0]


def _likelihood(network: FoundWeights) -> int:
    """Return a rank: usual keys come first; otherwise the order in the file is kept."""
    top = network.place.split("/")[0]
    return _USUAL_KEYS.index(top) if top in _USUAL_KEYS else len(_USUAL_KEYS)


def _mappings(
    content: Any, place: str, depth: int, seen: set[int]
) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the dicts in a checkpoint with their places; whole modules as their state dicts."""
    if depth > _DEEPEST or id(content) in seen:
        return
    seen.add(id(content))
    if isinstance(content, Placeholder):
        if isinstance(content.state, dict) and "_parameters" in content.state:
            yield place, dict(_module_weights(content, ""))
            return
        content = content.items if content.items is not None else content.state
    if isinstance(content, Mapping):
        yield place, content
        children: Iterator[tuple[Any, Any]] = iter(content.items())
    elif isinstance(content, list | tuple):
        children = iter(enumerate(content))
    else:
        return
    for key, value in children:
        if not isinstance(value, Tensor | str | int | float):
            yield from _mappings(value, f"{place}/{key}".lstrip("/"), depth + 1, seen)


def _module_weights(module: Placeholder, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the names and tensors of a module that was stored whole."""
    for group in ("_parameters", "_buffers"):
        for name, value in dict(module.state.get(group) or {}).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value
    for name, child in dict(module.state.get("_modules") or {}).items():
        if isinstance(child, Placeholder) and isinstance(child.state, dict):
            yield from _module_weights(child, f"{prefix}{name}.")


def _in_mapping(
    name: str, kind: NetworkKind, place: str, mapping: Mapping[Any, Any]
) -> Iterator[FoundWeights]:
    """Yield a mapping's networks; trainers give their names a prefix such as `module.`."""
    plain = {
        _WRAPPERS.sub("", key): value for key, value in mapping.items() if isinstance(key, str)
    }
    landmarks = [key for key in plain if key.endswith(kind.landmark)]
    prefixes = sorted((key.removesuffix(kind.landmark) for key in landmarks), key=len)
    for prefix in prefixes:
        if prefix and not prefix.endswith("."):
            continue
        weights = {
            key.removeprefix(prefix): value
            for key, value in plain.items()
            if key.startswith(prefix)
        }
        where = "/".join(part for part in (place, prefix.rstrip(".")) if part)
        yield FoundWeights(name, where, weights)
