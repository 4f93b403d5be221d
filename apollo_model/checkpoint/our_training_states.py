"""What our own training states (last.pt) say of their network; see `training.state`."""

import json
from collections.abc import Mapping
from typing import Any

import tomli_w

from apollo_model.checkpoint.plain_values import plain_texts

_NETWORK, _TRAINER, _IDENTITY, _HISTORY = "network", "trainer", "identity", "history"


def is_training_state(content: Any) -> bool:
    """Tell whether a torch file's content is a state that our trainer saved."""
    return isinstance(content, Mapping) and all(
        isinstance(content.get(key), Mapping) for key in (_NETWORK, _TRAINER, _IDENTITY)
    )


def network_settings(state: Mapping[str, Any]) -> str:
    """Return the network's settings, as safetensors of ours store them."""
    return plain_texts({_NETWORK: state[_NETWORK]}).get(_NETWORK, "{}")


def state_texts(state: Mapping[str, Any]) -> dict[str, str]:
    """Return what is worth keeping beside the weights: progress, scores, settings.

    The scores (`last_valid_*`) and the epoch are those of the last validation: the weights may
    have been trained for some steps since.
    """
    texts = plain_texts({"step": state[_TRAINER].get("steps")})
    identity = json.loads(plain_texts({_IDENTITY: state[_IDENTITY]}).get(_IDENTITY, "{}"))
    if isinstance(settings := identity.get("settings"), dict):
        texts["pipeline"] = str(settings.get("name", ""))
        texts["settings"] = tomli_w.dumps(_without_none(settings))
    rows = state.get(_HISTORY)
    if isinstance(rows, list) and rows and isinstance(rows[-1], Mapping):
        texts |= plain_texts({"epoch": rows[-1].get("epoch")})
        scores = rows[-1].get("scores")
        for name, value in scores.items() if isinstance(scores, Mapping) else ():
            texts |= plain_texts({f"last_valid_{name}": value})
    return texts


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out settings that are not set, which TOML cannot hold."""
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if value is not None
    }
