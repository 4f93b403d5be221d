"""The content of summary.json: means with intervals of all systems, overall and by case."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_model.evaluation.metrics.hum import HUM_LIMIT_DB
from apollo_model.evaluation.pairs import PairList
from apollo_model.evaluation.rows import SystemRows
from apollo_model.evaluation.statistics import SongBootstrap
from apollo_model.evaluation.systems.system import CODEC, System

Array = npt.NDArray[Any]

HUM_SHARE = 0.05
"""A system fails the hum test if more than this share of its clips does."""


def summarise(
    systems: Sequence[System],
    rows: dict[str, SystemRows],
    pairs: PairList,
    metrics: Sequence[str],
) -> dict[str, Any]:
    """Return the summary: SCORES of each system overall, by bitrate and by category.

    SCORES hold the number of pairs that were scored as "n", the means by the metrics' names,
    their intervals under "ci95", the paired difference to the codec under "difference", and
    why scores are missing under "missing". What cannot be computed is None.
    """
    bootstrap = SongBootstrap(
        [(pair.shard.name, pair.target) for pair in pairs.pairs],
        [pair.songs for pair in pairs.pairs],
    )
    views = _views(pairs)
    silent = sorted(place for place, why in rows[CODEC].problems.items() if "target" in why)
    return {
        "systems": {
            system.name: _system(system, rows, views, bootstrap, metrics) for system in systems
        },
        "metrics": list(metrics),
        "pairs": len(pairs.pairs),
        "targets": len({(pair.shard.name, pair.target) for pair in pairs.pairs}),
        "songs": len({song for pair in pairs.pairs for song in pair.songs}),
        "silent": len(silent),
        "silent_pairs": [pairs.pairs[place].name for place in silent],
    }


def without_results(summary: dict[str, Any]) -> list[str]:
    """Return a line for each system that had no result for any pair, with the reason."""
    return [
        f"{name}: {entry['note']}"
        for name, entry in summary["systems"].items()
        if entry["failed"] and not entry["overall"]["n"]
    ]


def _views(pairs: PairList) -> dict[str, dict[str, Array]]:
    """Return which pairs belong to each case of each view."""
    cases = np.array([pair.case for pair in pairs.pairs])
    categories = np.array([pair.category for pair in pairs.pairs])
    return {
        "overall": {"": np.ones(len(cases), bool)},
        "by_bitrate": {case: cases == case for case in pairs.cases},
        "by_category": {name: categories == name for name in pairs.categories},
    }


def _system(
    system: System,
    rows: dict[str, SystemRows],
    views: dict[str, dict[str, Array]],
    bootstrap: SongBootstrap,
    metrics: Sequence[str],
) -> dict[str, Any]:
    own, codec = rows[system.name], rows[CODEC]
    entry: dict[str, Any] = {"kind": system.kind, "parameters": system.parameters}
    entry["note"] = _note(own)
    entry["remarks"] = _counted(text for texts in own.remarks.values() for text in texts)
    entry["failed"] = sum("result" in why for why in own.problems.values())
    if "hum_db" in metrics:
        entry["hum_test"] = _hum_test(own.values[:, list(metrics).index("hum_db")])
    for view, cases in views.items():
        masks = list(cases.values())
        found = _scores(own, codec, masks, bootstrap, metrics, system.name != CODEC)
        named = dict(zip(cases, found, strict=True))
        entry[view] = named[""] if view == "overall" else named
    return entry


def _scores(
    own: SystemRows,
    codec: SystemRows,
    masks: Sequence[Array],
    bootstrap: SongBootstrap,
    metrics: Sequence[str],
    compared: bool,
) -> list[dict[str, Any]]:
    values = _statistics(own.values, masks, bootstrap)
    differences = _statistics(own.values - codec.values, masks, bootstrap) if compared else None
    found = []
    for case, mask in enumerate(masks):
        scored = np.isfinite(own.values[mask]).any(-1)
        entry: dict[str, Any] = {"n": int(scored.sum())}
        entry |= {name: _plain(values[0][case, m]) for m, name in enumerate(metrics)}
        entry["ci95"] = {name: _limits(values[2][case, m]) for m, name in enumerate(metrics)}
        if differences:
            entry["difference"] = {
                name: {
                    "mean": _plain(differences[0][case, m]),
                    "ci95": _limits(differences[2][case, m]),
                    "n": int(differences[1][case, m]),
                }
                for m, name in enumerate(metrics)
            }
        if missing := _missing(own, np.flatnonzero(mask), metrics):
            entry["missing"] = missing
        found.append(entry)
    return found


def _statistics(
    values: Array, masks: Sequence[Array], bootstrap: SongBootstrap
) -> tuple[Array, Array, Array]:
    """Return means, counts and intervals by (case, metric)."""
    found = [bootstrap.intervals(np.where(mask[:, None], values, np.nan)) for mask in masks]
    means, counts, limits = (np.stack(part) for part in zip(*found, strict=True))
    return means, counts, limits


def _missing(own: SystemRows, places: Array, metrics: Sequence[str]) -> dict[str, dict[str, int]]:
    """Count by metric and reason which scores of non-silent targets are missing."""
    inside = set(places.tolist())
    found: dict[str, dict[str, int]] = {}
    for place, why in own.problems.items():
        if place not in inside or "target" in why:
            continue
        for metric in metrics:
            if (reason := why.get("result") or why.get(metric)) is not None:
                counts = found.setdefault(metric, {})
                counts[reason] = counts.get(reason, 0) + 1
    return {metric: found[metric] for metric in metrics if metric in found}


def _note(own: SystemRows) -> str:
    """Return in words why a system has no scores at all, or of how many pairs it has none."""
    lacking = [why for why in own.problems.values() if "target" not in why]
    whole = [why for why in lacking if "result" in why or len(why) == len(own.metrics)]
    if not whole:
        return ""
    reasons = _counted(why.get("result") or next(iter(why.values())) for why in whole)
    reason, _count = next(iter(reasons.items()))
    return f"{reason} ({len(whole)} of {len(own.values)} pairs)"


def _counted(texts: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _hum_test(hum: Array) -> dict[str, Any]:
    found = hum[np.isfinite(hum)]
    failed = int((found > HUM_LIMIT_DB).sum())
    passed = failed <= HUM_SHARE * len(found) if len(found) else None
    return {"limit_db": HUM_LIMIT_DB, "n": len(found), "failed": failed, "passed": passed}


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _limits(pair: Array) -> list[float] | None:
    return [float(limit) for limit in pair] if np.isfinite(pair).all() else None
