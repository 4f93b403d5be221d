"""The kinds of networks that a checkpoint can hold: add a new network here, and only here.

A network's class is a `Network` that can be built from its `settings`. `save_network` stores the
kind's name and the settings; `load_network` finds the class by that name and builds it from
them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic
import torch
from torch import Tensor, nn

from apollo_model.network.apollo import BANDS, Apollo
from apollo_model.network.base import Network
from apollo_model.network.srgan import BINS, SrGan

_SAMPLE_RATE = 44100


@dataclass(frozen=True)
class NetworkKind:
    """How networks of one class are recognised and built.

    Attributes
    ----------
    title
        What model cards call it.
    paper
        The address of what describes it.
    network
        The class.
    settings
        The class's settings as a checkpoint stores them, checked. Their limits keep a damaged
        file from asking for all memory.
    landmark
        A weight by whose name such a network is found among others.
    size_of
        Reads the settings off the weights of a file that does not state them, as far as the
        weights tell. Raises ValueError if they cannot be such a network's.
    """

    title: str
    paper: str
    network: Callable[..., Network]
    settings: type[pydantic.BaseModel]
    landmark: str
    size_of: Callable[[Mapping[str, Tensor]], dict[str, int]]


class _ApolloSettings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    sample_rate: int = pydantic.Field(gt=0, le=768_000)
    window_ms: int = pydantic.Field(gt=0, le=100)
    feature_dim: int
    layers: int
    residual: bool
    causal: bool


def _apollo_size(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Read N, the depth, and from the bands' bins the window at 44.1 kHz."""
    inputs = [weights.get(f"BN.{band}.1.weight", torch.empty(0)).shape for band in range(BANDS)]
    if any(len(shape) != 3 for shape in inputs):
        raise ValueError(f"BN.*.1.weight are not the 1x1 convolutions of {BANDS} bands")
    bins = sum((shape[1] - 1) // 2 for shape in inputs)
    layers = {int(found[1]) for name in weights if (found := re.match(r"net\.(\d{1,3})\.", name))}
    return {
        "sample_rate": _SAMPLE_RATE,
        "window_ms": round(2 * (bins - 1) * 1000 / _SAMPLE_RATE),
        "feature_dim": inputs[0][0],
        "layers": max(layers, default=0) + 1,
    }


class _SrGanSettings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    sample_rate: int = pydantic.Field(gt=0, le=768_000)
    planes: int = pydantic.Field(le=256)
    feature_dim: int = pydantic.Field(le=2048)
    rows: int = pydantic.Field(le=128)
    noise_seed: int


def _srgan_size(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the sizes off the ends of the decoder and the encoder."""
    spread = weights["decoder.spread.weight"].shape
    widen = weights.get("encoder.widen.weight", torch.empty(0)).shape
    if len(spread) != 4 or spread[2] != BINS or len(widen) != 4 or spread[0] % max(1, widen[1]):
        raise ValueError(f"decoder.spread and encoder.widen are not SR-GAN's for {BINS} bins")
    return {
        "sample_rate": _SAMPLE_RATE,
        "planes": spread[1],
        "feature_dim": widen[0],
        "rows": spread[0] // widen[1],
        "noise_seed": 0,
    }


KINDS: dict[str, NetworkKind] = {
    "apollo": NetworkKind(
        "Apollo",
        "https://arxiv.org/abs/2409.08514",
        Apollo,
        _ApolloSettings,
        "BN.0.1.weight",
        _apollo_size,
    ),
    "srgan": NetworkKind(
        "SR-GAN",
        "https://doi.org/10.3390/electronics10111349",
        SrGan,
        _SrGanSettings,
        "decoder.spread.weight",
        _srgan_size,
    ),
}


def kind_of(network: nn.Module) -> str:
    """Return the name of a network's kind.

    Raises
    ------
    ValueError
        There is none for its class.

    Examples
    --------
    >>> kind_of(Apollo(feature_dim=16, layers=1))
    'apollo'
    """
    for name, kind in KINDS.items():
        if type(network) is kind.network:
            return name
    raise ValueError(f"{type(network).__name__} is no kind of network that checkpoints hold")


def build(kind: NetworkKind, settings: Mapping[str, Any]) -> Network:
    """Build a network with new weights, and leave the global random state as it was.

    Raises
    ------
    ValueError
        The settings cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        return kind.network(**settings)
