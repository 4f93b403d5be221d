"""The paper's Fig. 2: each score over the bitrate, with 95 % intervals, as PNG and SVG."""

import io
from pathlib import Path
from typing import Any

from apollo_data.storage import whole_file
from apollo_model.evaluation.metrics.clip import METRICS
from apollo_model.evaluation.published import published_systems
from apollo_model.evaluation.systems.system import CODEC
from apollo_model.evaluation.tables import MAIN

NAME = "scores_by_bitrate"

_PANEL_INCHES = (4.6, 4.0)
_DODGE = 0.06
_COLOURS = ("C0", "C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")  # without grey


def write_figures(folder: Path, summary: dict[str, Any]) -> list[Path]:
    """Write the figure in both formats; none if no score of Fig. 2 was computed."""
    there = [
        m for m in METRICS if m.name in MAIN and m.name in summary["systems"][CODEC]["overall"]
    ]
    if not there:
        return []
    import matplotlib
    from matplotlib.figure import Figure

    # Without these, the same figure would be another file each time.
    with matplotlib.rc_context({"svg.hashsalt": NAME, "font.size": 9}):
        width, height = _PANEL_INCHES
        figure = Figure(figsize=(width * len(there), height), layout="constrained")
        panels = figure.subplots(1, len(there), squeeze=False)[0]
        for panel, metric in zip(panels, there, strict=True):
            _draw(panel, summary, metric.name)
            panel.set_ylabel(metric.heading)
        # Not every system has a point in every panel: one legend for all of them, below.
        shown = [panel.get_legend_handles_labels() for panel in panels]
        legend = {name: handle for own in shown for handle, name in zip(*own, strict=True)}
        figure.legend(legend.values(), legend, loc="outside lower center", ncols=4, fontsize=8)
        paths = []
        for suffix, extra in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
            content = io.BytesIO()
            figure.savefig(content, format=suffix, **extra)
            path = folder / f"{NAME}.{suffix}"
            with whole_file(path) as temporary:
                temporary.write_bytes(content.getvalue())
            paths.append(path)
    return paths


def _colour(number: int, name: str, published: bool) -> str:
    if name == CODEC:
        return "black"
    return ("0.45", "0.7")[number % 2] if published else _COLOURS[(number - 1) % len(_COLOURS)]


def _draw(panel: Any, summary: dict[str, Any], metric: str) -> None:
    systems = summary["systems"]
    cases = list(systems[CODEC]["by_bitrate"])
    everyone = {**systems, **published_systems()}
    for number, (name, entry) in enumerate(everyone.items()):
        points = [
            (place, scores[metric], (scores.get("ci95") or {}).get(metric))
            for place, case in enumerate(cases)
            if (scores := entry["by_bitrate"].get(case, {})).get(metric) is not None
        ]
        if not points:
            continue
        places = [place + _DODGE * (number - len(everyone) / 2) for place, _, _ in points]
        means = [mean for _, mean, _ in points]
        published = entry["kind"] == "published"
        errors = [[0.0] * len(points), [0.0] * len(points)]
        for point, (_, mean, limits) in enumerate(points):
            if limits:
                errors[0][point] = max(0.0, mean - limits[0])
                errors[1][point] = max(0.0, limits[1] - mean)
        panel.errorbar(
            places,
            means,
            yerr=None if published else errors,
            label=name,
            marker="o",
            markersize=4,
            capsize=2,
            linestyle="--" if published else "-",
            color=_colour(number, name, published),
        )
    panel.set_xticks(range(len(cases)), cases, rotation=45 if len(cases) > 7 else 0)
    plain = all(case.replace(".", "", 1).isdigit() for case in cases)
    panel.set_xlabel("bitrate (kbit/s)" if plain else "coding")
    panel.grid(alpha=0.3)
