"""Rows of scores.csv as distributions and as points, small enough for a page.

The file can have 120,000 pairs. Its numbers are read once into arrays of 4-byte floats;
the page gets histograms of all pairs and the points of an even choice of them.
"""

import csv
import math
import re
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from apollo_data.errors import DataError
from apollo_model.evaluation.metrics.clip import Metric

MAX_BINS = 48
MAX_POINTS = 12_000
"""Points of all systems together: what a browser draws at once, about 1 MB with ten scores."""

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_NUMBER_COLUMNS = ("number", "pair")
_BITRATE_COLUMNS = ("bitrate", "requested_kbps", "actual_kbps")
_PLAIN_MP3 = re.compile(r"mp3 [\d.]+")


@dataclass
class Rows:
    """All rows of scores.csv: each pair once, and each system's scores by pair (NaN: none)."""

    pairs: list[tuple[str, str, str]] = field(default_factory=list)
    """Label, category and bitrate of each pair."""

    scores: "dict[str, dict[str, array[float]]]" = field(default_factory=dict)
    """{system: {metric: one value per row of that system}}"""

    indices: "dict[str, array[int]]" = field(default_factory=lambda: defaultdict(_integers))
    """{system: the pair of each of its rows}"""


def _integers() -> "array[int]":
    return array("l")


def read_rows(path: Path, metrics: Sequence[Metric]) -> Rows:
    """Read scores.csv; without the file, return no rows.

    Raises
    ------
    DataError
        The file has no column "system".
    """
    rows = Rows()
    if not path.is_file():
        return rows
    seen: dict[tuple[str, str], int] = {}
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if "system" not in (table.fieldnames or []):
            raise DataError(f'{path}: expected a column "system"; run `apollo-model eval` again')
        for row in table:
            _add(rows, seen, row, metrics)
    return rows


def _add(
    rows: Rows, seen: dict[tuple[str, str], int], row: dict[str, Any], metrics: Sequence[Metric]
) -> None:
    shard, number = row.get("shard") or "", _first(row, _NUMBER_COLUMNS)
    if (shard, number) not in seen:
        seen[shard, number] = len(rows.pairs)
        label = row.get("name") or f"{Path(shard).stem} #{number}"
        rows.pairs.append((label, row.get("category") or "", _bitrate(row)))
    system = row["system"]
    rows.indices[system].append(seen[shard, number])
    columns = rows.scores.setdefault(system, {metric.name: array("f") for metric in metrics})
    for metric, values in columns.items():
        values.append(_float(row.get(metric)))


def _first(row: dict[str, Any], columns: Sequence[str]) -> str:
    return next((value for column in columns if (value := row.get(column))), "")


def _bitrate(row: dict[str, Any]) -> str:
    """Return the case of summary.json: the bitrate alone for MP3, else the whole coding."""
    coding = row.get("coding") or ""
    if coding and not _PLAIN_MP3.fullmatch(coding):
        return str(coding)
    kbps = _float(_first(row, _BITRATE_COLUMNS))
    return f"{kbps:g}" if math.isfinite(kbps) else ""


def _float(text: Any) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def distributions(rows: Rows, metrics: Sequence[Metric], systems: Sequence[str]) -> dict[str, Any]:
    """Return a histogram and quantiles of each metric and system.

    Returns
    -------
    dict
        {metric: {"start", "width", "systems": [{"n", "counts", "quantiles"} or None]}}, the
        list in the order of `systems`. The bins of a metric are the same for all systems. They
        span all but the outermost 0.5 % on each side, which is counted in the first and last bin.
    """
    found: dict[str, Any] = {}
    for metric in metrics:
        columns = [_finite(rows, system, metric.name) for system in systems]
        together = np.concatenate([column for column in columns if column.size] or [np.empty(0)])
        if together.size:
            low, high = _span(together)
            bins = _bins(min(column.size for column in columns if column.size))
            edges = np.linspace(low, high, bins + 1)
            found[metric.name] = {
                "start": _short(low),
                "width": _short((high - low) / bins),
                "systems": [_histogram(column, edges) for column in columns],
            }
    return found


def _finite(rows: Rows, system: str, metric: str) -> np.ndarray:
    column = np.asarray(rows.scores.get(system, {}).get(metric, ()), dtype=np.float64)
    return column[np.isfinite(column)]


def _bins(count: int) -> int:
    """Return how many bins `count` values fill without looking ragged."""
    return max(12, min(MAX_BINS, round(count**0.5)))


def _span(values: np.ndarray) -> tuple[float, float]:
    low, high = (float(value) for value in np.quantile(values, (0.005, 0.995)))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _histogram(values: np.ndarray, edges: np.ndarray) -> dict[str, Any] | None:
    if not values.size:
        return None
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    quantiles = [_short(value) for value in np.quantile(values, _QUANTILES)]
    return {"n": int(values.size), "counts": counts.tolist(), "quantiles": quantiles}


def points(rows: Rows, metrics: Sequence[Metric], systems: Sequence[str]) -> dict[str, Any]:
    """Return the scores of an even choice of pairs, `MAX_POINTS` at most for all systems.

    Returns
    -------
    dict
        {"of": number of all pairs, "pairs": [[label, category, bitrate]],
        "systems": [{metric: [score or None per pair]}]} in the order of `systems`.
    """
    room = max(20, MAX_POINTS // max(1, len(systems)))
    count = min(room, len(rows.pairs))
    chosen = [index * len(rows.pairs) // count for index in range(count)] if count else []
    return {
        "of": len(rows.pairs),
        "pairs": [list(rows.pairs[index]) for index in chosen],
        "systems": [_chosen_scores(rows, system, metrics, chosen) for system in systems],
    }


def _chosen_scores(
    rows: Rows, system: str, metrics: Sequence[Metric], chosen: Sequence[int]
) -> dict[str, list[float | None]]:
    if system not in rows.scores:
        return {}
    row_of = {pair: row for row, pair in enumerate(rows.indices[system])}
    own = [row_of.get(pair) for pair in chosen]
    return {
        metric.name: [
            None if row is None else _short(rows.scores[system][metric.name][row]) for row in own
        ]
        for metric in metrics
    }


def _short(value: float) -> float | None:
    """Round to 5 significant digits; NaN becomes None."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
