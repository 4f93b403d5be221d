"""Scores as tables: the paper's Table II, each score by bitrate and category, all scores overall.

The codec's own row is first in each, and each other system has its difference from it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apollo_data.records import CATEGORIES
from apollo_model.evaluation.metrics.clip import METRICS, Metric
from apollo_model.evaluation.published import published_systems
from apollo_model.evaluation.systems.system import CODEC

MAIN = ("si_snr", "sdr", "visqol")
"""The paper's three scores."""

_TABLE_II_ORDER = ("sdr", "si_snr", "visqol")
_VIEWS = (("by_bitrate", "kbit/s"), ("by_category", "category"))
_MISSING = "-"


@dataclass(frozen=True)
class Table:
    """A table ready to be shown."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def all_tables(summary: dict[str, Any], speeds: Mapping[str, float] | None = None) -> list[Table]:
    """Return all tables of an evaluation."""
    return [
        table_ii(summary, speeds or {}),
        *score_tables(summary),
        overall_table(summary),
        *_hum_tables(summary),
    ]


def table_ii(summary: dict[str, Any], speeds: Mapping[str, float]) -> Table:
    """Return the paper's Table II: SDR/SI-SNR/ViSQOL by category and overall, size and speed.

    Parameters
    ----------
    summary
        As in summary.json.
    speeds
        Milliseconds for one second of each network, measured here.
    """
    systems = summary["systems"]
    categories = list(dict.fromkeys((*CATEGORIES, *systems[CODEC]["by_category"])))
    rows = []
    for name, entry in {**systems, **published_systems()}.items():
        views = [entry["by_category"].get(category) for category in categories]
        size = entry.get("parameters")
        speed = entry.get("ms_per_second", speeds.get(name))
        rows.append(
            [
                name,
                *(_triple(view) for view in (*views, entry["overall"])),
                f"{size / 1e6:.2f}" if size else _MISSING,
                f"{speed:.2f}" if speed else _MISSING,
            ]
        )
    columns = [name.replace("_", " ") for name in categories]
    return Table(
        "SDR/SI-SNR/ViSQOL by category (the paper's Table II)",
        ["system", *columns, "overall", "parameters (M)", "ms for 1 s"],
        rows,
    )


def _triple(scores: dict[str, Any] | None) -> str:
    values = [(scores or {}).get(name) for name in _TABLE_II_ORDER]
    if all(value is None for value in values):
        return _MISSING
    return "/".join(_MISSING if value is None else f"{value:.2f}" for value in values)


def score_tables(summary: dict[str, Any]) -> Iterator[Table]:
    """Yield one table per main score and view (by bitrate, by category)."""
    systems = summary["systems"]
    there = [m for m in METRICS if m.name in MAIN and m.name in systems[CODEC]["overall"]]
    for view, what in _VIEWS:
        cases = list(systems[CODEC][view])
        for metric in there:
            rows = list(_rows(systems, view, cases, metric))
            yield Table(f"{metric.heading} by {what}", ["system", *cases, "overall"], rows)


def _rows(
    systems: dict[str, Any], view: str, cases: list[str], metric: Metric
) -> Iterator[list[str]]:
    def scores(entry: dict[str, Any]) -> list[dict[str, Any]]:
        return [*(entry[view].get(case, {}) for case in cases), entry["overall"]]

    yield ["pairs", *(str(own["n"]) for own in scores(systems[CODEC]))]
    for name, entry in systems.items():
        yield [name, *(_with_interval(own, metric) for own in scores(entry))]
        if name != CODEC:
            differences = [own.get("difference", {}).get(metric.name) for own in scores(entry)]
            yield [f"{name} - {CODEC}", *(_difference(own, metric) for own in differences)]
    for name, entry in published_systems().items():
        values = [own.get(metric.name) for own in scores(entry)]
        if any(value is not None for value in values[:-1]):
            yield [name, *(_text(value, metric) for value in values)]


def overall_table(summary: dict[str, Any]) -> Table:
    """Return all scores of all systems, over all pairs."""
    systems = summary["systems"]
    there = [metric for metric in METRICS if metric.name in systems[CODEC]["overall"]]
    rows = []
    for name, entry in systems.items():
        shown = [_with_interval(entry["overall"], metric) for metric in there]
        rows.append([name, str(entry["overall"]["n"]), *shown, entry.get("note") or ""])
    return Table(
        "All scores over all pairs, with 95 % intervals",
        ["system", "pairs", *(metric.heading for metric in there), "note"],
        rows,
    )


def _hum_tables(summary: dict[str, Any]) -> Iterator[Table]:
    tests = {name: entry.get("hum_test") for name, entry in summary["systems"].items()}
    if not any(tests.values()):
        return
    words = {True: "passed", False: "failed", None: _MISSING}
    rows = [
        [
            name,
            words[test["passed"]],
            f"{test['failed']} of {test['n']}",
            f"{test['limit_db']:g} dB",
        ]
        for name, test in tests.items()
        if test
    ]
    yield Table("Hum test", ["system", "result", "clips with hum", "limit"], rows)


def _with_interval(scores: dict[str, Any], metric: Metric) -> str:
    mean = scores.get(metric.name)
    limits = (scores.get("ci95") or {}).get(metric.name)
    if mean is None or not limits:
        return _text(mean, metric)
    return f"{_text(mean, metric)} ±{(limits[1] - limits[0]) / 2:.{metric.digits}f}"


def _difference(difference: dict[str, Any] | None, metric: Metric) -> str:
    if not difference or difference["mean"] is None:
        return _MISSING
    text = _text(difference["mean"], metric, "+")
    limits = difference["ci95"]
    return f"{text} ±{(limits[1] - limits[0]) / 2:.{metric.digits}f}" if limits else text


def _text(value: float | None, metric: Metric, sign: str = "") -> str:
    if value is None:
        return _MISSING
    shown = f"{value:{sign}.{metric.digits}f}"
    return shown.lstrip("+-") if float(shown) == 0 else shown


def as_text(table: Table) -> str:
    """Return a table as plain text, columns aligned."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]

    def row(cells: list[str]) -> str:
        first, *others = (cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in
                          enumerate(zip(cells, widths, strict=True)))  # fmt: skip
        return "  ".join((first, *others)).rstrip()

    rule = "-" * len("  ".join(" " * width for width in widths))
    return "\n".join([table.title, row(table.columns), rule, *map(row, table.rows)])


def as_markdown(table: Table) -> str:
    """Return a table in Markdown."""

    def row(cells: list[str]) -> str:
        return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"

    rule = row(["---", *("---:" for _ in table.columns[1:])])
    return "\n".join([f"**{table.title}**", "", row(table.columns), rule, *map(row, table.rows)])
