"""Scores as tables: the codec's own row first, and each network with its difference from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from apollo_model.evaluation.score import CODEC, METRICS

_TITLES = {"si_snr": "SI-SNR (dB)", "sdr": "SDR (dB)"}


@dataclass(frozen=True)
class Table:
    """A table ready to be shown."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def score_tables(summary: dict[str, Any]) -> Iterator[Table]:
    """Yield one table per metric and view (by bitrate, by category), as `summary.json` has them."""
    systems = summary["systems"]
    for view, what in (("by_bitrate", "kbit/s"), ("by_category", "category")):
        cases = list(systems[CODEC][view])
        for metric in METRICS:
            rows = list(_rows(systems, view, cases, metric))
            yield Table(f"{_TITLES[metric]} by {what}", ["system", *cases, "overall"], rows)


def _rows(systems: dict[str, Any], view: str, cases: list[str], metric: str) -> Iterator[list[str]]:
    def values(name: str) -> list[float | None]:
        scores = systems[name]
        return [*(scores[view][case][metric] for case in cases), scores["overall"][metric]]

    counts = [systems[CODEC][view][case]["n"] for case in cases]
    yield ["pairs", *map(str, counts), str(systems[CODEC]["overall"]["n"])]
    codec = values(CODEC)
    yield [CODEC, *(_text(value, "") for value in codec)]
    for name in systems:
        if name == CODEC:
            continue
        own = values(name)
        yield [name, *(_text(value, "") for value in own)]
        yield [f"{name} - {CODEC}", *map(_difference, own, codec)]


def _difference(value: float | None, reference: float | None) -> str:
    return _text(None if value is None or reference is None else value - reference, "+")


def _text(value: float | None, sign: str) -> str:
    return "-" if value is None else f"{value:{sign}.3f}"
