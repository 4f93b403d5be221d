"""The plain values that a torch file holds beside its weights, as texts."""

import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from apollo_model.checkpoint.unpickle import Placeholder

_NUMBER_CODE = re.compile(r"[?biuf]\d+")  # as numpy names its types: f8 is a float of 8 bytes
_DEEPEST = 30
_MOST_VALUES = 5_000
_LONGEST_TEXT = 20_000
_MOST_TEXTS = 50


def plain_texts(content: Any) -> dict[str, str]:
    """Return a checkpoint's numbers, texts and settings: a text for each key, containers as JSON.

    Keys whose values hold tensors (weights, optimisers) are left out, and so are values that
    refer to themselves or are too large to read.

    Examples
    --------
    >>> plain_texts({"epoch": 3, "hparams": {"lr": 0.1}, "state_dict": {}})
    {'epoch': '3', 'hparams': '{"lr": 0.1}'}
    """
    if not isinstance(content, Mapping):
        return {}
    texts = {}
    for key, value in itertools.islice(content.items(), _MOST_TEXTS):
        try:
            plain = _Plain().of(value, 0)
        except _NotPlainError:
            continue
        if plain not in ({}, [], None) and isinstance(key, str):
            text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
            shortened = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
            texts[printable(key)] = printable(shortened)
    return texts


def printable(text: str) -> str:
    r"""Return a text that can be written as UTF-8; a file's name may hold any bytes.

    Examples
    --------
    >>> printable("caf\udce9.pt")
    'caf?.pt'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


class _NotPlainError(Exception):
    """There is a tensor in it, it is too deep, or too large."""


class _Plain:
    """Converts one value to what JSON can hold; the size is limited."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def of(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if isinstance(value, Tensor) or depth > _DEEPEST or self._left < 0:
            raise _NotPlainError
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, Placeholder):
            return self.of(_content_of(value), depth + 1)
        if isinstance(value, Mapping):
            return {str(key): self.of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.of(item, depth + 1) for item in value]
        return str(value)


def _content_of(value: Placeholder) -> Any:
    """Return what a placeholder would show of the object that it stands for."""
    state, args = value.state, value.args
    if value.stands_for.startswith("pathlib."):
        return "/".join(map(str, args)).replace("//", "/")
    if value.stands_for.startswith("omegaconf.") and isinstance(state, dict):
        return state.get("_content", state.get("_val"))
    if value.stands_for.endswith("multiarray.scalar"):
        return _number(args)
    if isinstance(state, dict) and not value.stands_for.startswith("typing."):
        return {**state, **value.items} if isinstance(value.items, dict) else state
    if value.items is not None:
        return value.items
    if len(args) == 1 and isinstance(args[0], str | int | float):
        return args[0]
    return value.stands_for


def _number(args: tuple[Any, ...]) -> Any:
    """Return the number of a numpy scalar: its type's name, and its bytes."""
    code = args[0].args[0] if args and isinstance(args[0], Placeholder) and args[0].args else ""
    if len(args) == 2 and isinstance(args[1], bytes) and _NUMBER_CODE.fullmatch(str(code)):
        return np.frombuffer(args[1], np.dtype(code))[0].item()
    return "numpy scalar"
