"""The files of an evaluation: scores.csv, summary.json, tables in four formats, figures."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from apollo_data.storage import whole_file, write_text
from apollo_model.evaluation.pairs import PairList
from apollo_model.evaluation.plots import write_figures
from apollo_model.evaluation.published import published_systems
from apollo_model.evaluation.rows import SystemRows
from apollo_model.evaluation.tables import all_tables, as_markdown, as_text

_PAIR_COLUMNS = (
    "system",
    "shard",
    "pair",
    "name",
    "target",
    "category",
    "codec",
    "requested_kbps",
    "actual_kbps",
    "coding",
)
_LONG_COLUMNS = ("system", "kind", "view", "case", "score", "mean", "low", "high", "n")


def write_files(
    out: Path,
    summary: dict[str, Any],
    rows: Mapping[str, SystemRows],
    pairs: PairList,
    metrics: Sequence[str],
    speeds: Mapping[str, float],
) -> None:
    """Write everything but the clips for listening, each file whole or not at all."""
    _write_scores(out / "scores.csv", rows, pairs, metrics)
    write_text(out / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")
    tables = all_tables(summary, speeds)
    write_text(out / "tables.txt", "\n\n".join(map(as_text, tables)) + "\n")
    write_text(out / "tables.md", "\n\n".join(map(as_markdown, tables)) + "\n")
    plain = [asdict(table) for table in tables]
    write_text(out / "tables.json", json.dumps(plain, indent=2, ensure_ascii=False) + "\n")
    _write_long(out / "tables.csv", summary)
    write_figures(out, summary)


def _write_scores(
    path: Path, rows: Mapping[str, SystemRows], pairs: PairList, metrics: Sequence[str]
) -> None:
    """Write one row per pair and system."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*_PAIR_COLUMNS, *metrics, "problem", "remark"])
        for place, pair in enumerate(pairs.pairs):
            about = [
                pair.shard.name,
                pair.number,
                pair.name,
                pair.target,
                pair.category,
                pair.codec,
                _number(pair.requested_kbps),
                _number(pair.actual_kbps),
                pair.coding,
            ]
            for name, own in rows.items():
                why = own.problems.get(place, {})
                table.writerow(
                    [
                        name,
                        *about,
                        *(_number(value) for value in own.values[place].tolist()),
                        "; ".join(dict.fromkeys(why.values())),
                        "; ".join(own.remarks.get(place, ())),
                    ]
                )


def _write_long(path: Path, summary: dict[str, Any]) -> None:
    """Write every mean of summary.json, and the published ones, as a row of its own."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(_LONG_COLUMNS)
        for name, entry in {**summary["systems"], **published_systems()}.items():
            for row in _long_rows(entry):
                table.writerow([name, entry["kind"], *row])


def _long_rows(entry: dict[str, Any]) -> Iterator[list[Any]]:
    views = {"overall": {"": entry["overall"]}}
    views |= {view: entry[view] for view in ("by_category", "by_bitrate")}
    for view, cases in views.items():
        for case, scores in cases.items():
            for score, mean in scores.items():
                if score == "n" or isinstance(mean, dict):
                    continue
                low, high = (scores.get("ci95") or {}).get(score) or (None, None)
                cells = [_number(value) for value in (mean, low, high)]
                yield [view, case, score, *cells, scores.get("n", "")]


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else repr(float(value))
