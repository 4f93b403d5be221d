"""What a run is bound to: the settings and shards that it may not change while it goes on."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apollo_data.errors import DataError
from apollo_data.settings import Settings, parse_settings
from apollo_data.shards import ShardReader

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TRAINING_SECTIONS = ("network", "training")
_DATA_SECTIONS = ("activity", "catalog", "codec", "mixing", "paired", "seed", "sample_rate")
_FREE = frozenset(
    f"training.{name}"
    for name in (
        "max_epochs",
        "max_minutes",
        "patience_epochs",
        "loader_workers",
        "dtype",
        "compile",
        "activation_checkpointing",
        "accumulate_steps",  # with the number of processes it is compared as batches per step
        "validation_metrics",
        "keep_best",
        "checkpoint_minutes",
        "checkpoint_steps",
        "keep_steps",
        "log_steps",
        "max_bad_steps",
    )
)
"""Settings that may be others when a run goes on: they change how long, how fast and how
carefully it trains, not what it learns from."""

_SHOWN = 6


def run_identity(
    settings: Settings, shards: Mapping[str, list[Path]], batches_per_step: int, init: str | None
) -> dict[str, Any]:
    """Return what a run is bound to, as plain values for its state.

    Parameters
    ----------
    settings
        As used.
    shards
        Paths by split; live mixing reads none for ``train``.
    batches_per_step
        Of all processes together.
    init
        What `--init` named.
    """
    return {
        "settings": settings.model_dump(mode="json"),
        "batches_per_step": batches_per_step,
        "init": init,
        "shards": {split: _describe(paths) for split, paths in shards.items()},
    }


def _describe(paths: list[Path]) -> dict[str, Any]:
    """Return the names, pairs and keys of shards, and the settings that they were built with."""
    rows, settings = [], ""
    for path in paths:
        with ShardReader(path) as shard:
            rows.append([path.name, shard.pairs, shard.key])
            settings = settings or shard.settings
    return {"rows": rows, "settings": settings}


def refuse_other_run(saved: Mapping[str, Any], now: Mapping[str, Any], state: Path) -> None:
    """Compare what a state is bound to with what is given now.

    A setting that the state does not know, because a later version added it, counts as
    having had its default.

    Raises
    ------
    DataError
        Something differs; the message names it.
    """
    differences = list(_differences(saved, now))
    if differences:
        shown = "; ".join(differences[:_SHOWN])
        more = len(differences) - _SHOWN
        raise DataError(
            f"{state}: was made with other settings or data: {shown}"
            + (f" and {more} more" if more > 0 else "")
            + "; give it the same, name another --out, or start anew with --fresh"
        )


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = _flat(_with_defaults(saved["settings"])), _flat(now["settings"])
    live = bool(new.get("training.live"))
    sections = (*_TRAINING_SECTIONS, *(_DATA_SECTIONS if live else ()))
    for name, value in new.items():
        bound = name.split(".")[0] in sections and name not in _FREE
        if bound and old.get(name) != value:
            yield f"{name} was {_text(old.get(name))}, is {_text(value)}"
    if saved["batches_per_step"] != now["batches_per_step"]:
        yield (
            f"training.accumulate_steps x processes was {saved['batches_per_step']}, is "
            f"{now['batches_per_step']}"
        )
    if now["init"] is not None and saved["init"] != now["init"]:
        yield f"--init was {saved['init'] or 'not given'}, is {now['init']}"
    for split, shards in now["shards"].items():
        yield from _shard_differences(split, saved["shards"].get(split), shards)


def _shard_differences(split: str, saved: Any, now: Mapping[str, Any]) -> Iterator[str]:
    if saved is None:
        yield f"{split} shards were not read"
        return
    if saved["rows"] == now["rows"]:
        return
    old, new = (_flat(tomllib.loads(item["settings"] or "")) for item in (saved, now))
    named = False
    for name in sorted({*old, *new}):
        if name.split(".")[0] in _DATA_SECTIONS and old.get(name) != new.get(name):
            named = True
            yield f"{split} shards: {name} was {_text(old.get(name))}, is {_text(new.get(name))}"
    if not named:
        counts = [
            f"{len(rows)} shards, {sum(row[1] for row in rows)} pairs"
            for rows in (saved["rows"], now["rows"])
        ]
        yield f"{split} shards hold other clips (were {counts[0]}; are {counts[1]})"


def _with_defaults(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return saved settings with the defaults of those that came later, without unknown ones."""
    known = _known_only(saved, Settings)
    return parse_settings(known, "the state").model_dump(mode="json")


def _known_only(values: Mapping[str, Any], section: Any) -> dict[str, Any]:
    kept = {}
    for name, value in values.items():
        if name not in section.model_fields:
            continue
        annotation = section.model_fields[name].annotation
        inner = isinstance(value, Mapping) and hasattr(annotation, "model_fields")
        kept[name] = _known_only(value, annotation) if inner else value
    return kept


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _text(value: Any) -> str:
    return "not set" if value is None else str(value)[:60]
