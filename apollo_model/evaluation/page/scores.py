"""Scores for the page: summary.json brought into one shape, whatever optional parts it has."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from apollo_data.errors import DataError
from apollo_model.evaluation.metrics.clip import METRICS, Metric
from apollo_model.evaluation.published import NOTE, published_systems

CODEC = "codec"
"""Name of the system that restores nothing."""

_INTERVAL = "_ci95"


_CATEGORY_LABELS = {
    "vocal": "Vocal",
    "single_stem": "Single stem",
    "multi_stems": "Multi-stems",
    "multi_stems_vocal": "Multi-stems + vocal",
    "paired": "Recorded pairs",
    "mixture": "Whole songs",
}


def read_summary(path: Path) -> dict[str, Any]:
    """Return the content of summary.json.

    Raises
    ------
    DataError
        The file is missing, is not JSON or holds no systems.
    """
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run `apollo-model eval` first") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); run `apollo-model eval` again"
        ) from None
    systems = summary.get("systems") if isinstance(summary, dict) else None
    if not isinstance(systems, dict) or not systems:
        raise DataError(f'{path}: expected "systems" with scores; run `apollo-model eval` again')
    return summary


def metrics_in(summary: dict[str, Any]) -> list[Metric]:
    """List the metrics that any system has a score for, the well-known ones first."""
    found = dict.fromkeys(
        key
        for system in summary["systems"].values()
        for key, value in system.get("overall", {}).items()
        if _is_metric(key, value)
    )
    known = {metric.name: metric for metric in METRICS}
    first = [metric for metric in METRICS if metric.name in found]
    return first + [
        Metric(key, key.replace("_", " "), better="") for key in found if key not in known
    ]


def cases_in(summary: dict[str, Any], view: str) -> list[str]:
    """List the bitrates or categories of all systems, in the order of the file."""
    systems = summary["systems"].values()
    return list(dict.fromkeys(case for system in systems for case in system.get(view, {})))


def system_rows(
    summary: dict[str, Any], metrics: Iterable[Metric], speeds: dict[str, float]
) -> list[dict[str, Any]]:
    """Return one entry per system, the codec first, with scores as [mean, low, high] or None.

    `speeds` holds the milliseconds for one second of audio of the systems that were timed.
    """
    metrics = list(metrics)
    names = sorted(summary["systems"], key=lambda name: name != CODEC)
    rows = [_system_row(name, summary["systems"][name], metrics) for name in names]
    return [{**row, "ms": row["ms"] or speeds.get(row["name"])} for row in rows]


def published_rows(metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    """Return the paper's systems in the form of `system_rows`, without intervals."""
    metrics = list(metrics)
    rows = [_system_row(name, own, metrics) for name, own in published_systems().items()]
    plain = [row["name"].removesuffix(f" ({NOTE})") for row in rows]
    return [
        {**row, "name": name, "kind": "published"} for row, name in zip(rows, plain, strict=True)
    ]


def read_speeds(path: Path) -> dict[str, float]:
    """Return the milliseconds for one second by system; none where nothing was timed."""
    try:
        speeds = json.loads(path.read_text(encoding="utf-8"))
        found = {name: number(entry["ms_per_second"]) for name, entry in speeds.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: speed for name, speed in found.items() if speed is not None}


def metric_entry(metric: Metric) -> dict[str, Any]:
    """Return what the page needs to show a metric."""
    label = metric.title[:1].upper() + metric.title[1:]
    return {
        "id": metric.name,
        "label": label,
        "unit": metric.unit,
        "better": metric.better,
        "digits": metric.digits,
    }


def notes_on(summary: dict[str, Any], metrics: Iterable[Metric]) -> list[str]:
    """Say which scores are missing and why, and what was seen while systems were scored."""
    notes = []
    if silent := summary.get("silent"):
        notes.append(f"{silent} pairs have a silent target; their scores are not defined.")
    for name, system in summary["systems"].items():
        missing = (system.get("overall") or {}).get("missing") or {}
        for metric in metrics:
            for reason, count in missing.get(metric.name, {}).items():
                notes.append(f"{name}: {metric.title} of {count} pairs is missing: {reason}.")
        remarks = system.get("remarks") or {}
        notes += [f"{name}, {count} pairs: {remark}." for remark, count in remarks.items()]
    return notes


def _system_row(name: str, system: dict[str, Any], metrics: list[Metric]) -> dict[str, Any]:
    def view(key: str) -> dict[str, Any]:
        return {case: scores_of(own, metrics) for case, own in system.get(key, {}).items()}

    return {
        "name": name,
        "kind": "codec" if name == CODEC else "system",
        "parameters": number(system.get("parameters")),
        "ms": number(system.get("ms_per_second")),
        "note": str(system.get("note") or ""),
        "hum_test": system.get("hum_test"),
        "overall": scores_of(system.get("overall", {}), metrics),
        "by_category": view("by_category"),
        "by_bitrate": view("by_bitrate"),
    }


def scores_of(scores: dict[str, Any], metrics: Iterable[Metric]) -> dict[str, Any]:
    """Return {"n", "values", "difference"} of one SCORES object.

    "values" and "difference", the paired one to the codec, are {metric: [mean, low, high]}.
    """
    metrics = list(metrics)
    values = {metric.name: _with_interval(scores, metric.name) for metric in metrics}
    to_codec = scores.get("difference") or {}
    difference = {metric.name: _difference(to_codec.get(metric.name)) for metric in metrics}
    return {"n": number(scores.get("n")), "values": values, "difference": difference}


def _difference(entry: dict[str, Any] | None) -> list[float | None] | None:
    if not entry or number(entry.get("mean")) is None:
        return None
    low, high = entry.get("ci95") or (None, None)
    return [number(entry["mean"]), number(low), number(high)]


def _with_interval(scores: dict[str, Any], metric: str) -> list[float | None] | None:
    mean = number(scores.get(metric))
    if mean is None:
        return None
    beside = scores.get(metric + _INTERVAL)
    interval = beside if beside is not None else (scores.get("ci95") or {}).get(metric)
    low, high = (
        interval if isinstance(interval, list | tuple) and len(interval) == 2 else (None,) * 2
    )
    return [mean, number(low), number(high)]


def number(value: Any) -> float | None:
    """Return a finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def _is_metric(key: str, value: Any) -> bool:
    known = any(metric.name == key for metric in METRICS)
    return key != "n" and not key.endswith(_INTERVAL) and (known or number(value) is not None)


def category_label(category: str) -> str:
    """Return a category as the paper's table writes it."""
    return _CATEGORY_LABELS.get(category, category.replace("_", " "))


def bitrate_label(case: str) -> str:
    """Return a bitrate for an axis; codings other than MP3 keep their own words."""
    return f"{case} kbit/s" if case.replace(".", "", 1).isdigit() else case
