"""curves.png: losses, gradient norms and validation scores over the steps."""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apollo_data.console import Console
from apollo_data.storage import whole_file
from apollo_model.training.observers import Observer, RunStart, Scores, StepRecord, ValidationRecord
from apollo_model.training.watch.may_fail import without_ending_the_run
from apollo_model.training.watch.metrics_csv import FILE as METRICS
from apollo_model.training.watch.metrics_csv import read_metrics, step_values

FILE = "curves.png"
_MOST_POINTS = 1000
_SIZE_INCHES, _DPI = (8.0, 2.6), 110
_UNITS = {
    "si_snr": "SI-SNR, dB",
    "sdr": "SDR, dB",
    "lsd": "log-spectral distance, dB",
    "spectral": "spectral error",
    "visqol": "ViSQOL",
}


@dataclass
class MeanCurve:
    """A curve of at most 1000 points, each the mean over as many steps, however long a run is.

    Examples
    --------
    >>> curve = MeanCurve()
    >>> for step in range(1, 3001):
    ...     curve.add(step, 1.0)
    >>> len(curve.points()[0]), curve.points()[1][0]
    (750, 1.0)
    """

    width: int = 1
    sums: list[list[float]] = field(default_factory=list)
    """Per point: the sum of steps, the sum of values, their number."""

    def add(self, step: int, value: float) -> None:
        """Add a step's value; values that are not finite leave a gap."""
        if not math.isfinite(value):
            return
        if self.sums and self.sums[-1][2] < self.width:
            last = self.sums[-1]
            last[0], last[1], last[2] = last[0] + step, last[1] + value, last[2] + 1
            return
        if len(self.sums) == _MOST_POINTS:
            self.width *= 2
            pairs = zip(self.sums[::2], self.sums[1::2], strict=True)
            self.sums = [[a + b for a, b in zip(*pair, strict=True)] for pair in pairs]
        self.sums.append([step, value, 1])

    def points(self) -> tuple[list[float], list[float]]:
        """Return the mean steps and the mean values."""
        return [s / n for s, _, n in self.sums], [v / n for _, v, n in self.sums]


class Curves(Observer):
    """Draws curves.png at every validation and at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._path = Path()
        self._steps: dict[str, MeanCurve] = {}
        self._scores: dict[str, list[tuple[int, float]]] = {}
        self._codec: Scores = {}

    def on_start(self, start: RunStart) -> None:
        """Read what earlier sessions have written."""
        self._path, self._codec = start.folder / FILE, start.codec_scores
        if not start.step:
            return
        with without_ending_the_run(self._console, "curves of earlier sessions"):
            for row in read_metrics(start.folder / METRICS)[1]:
                self._add_step(int(row["step"]), row)
            for epoch in _read_history(start.folder / "history.csv"):
                if int(epoch["step"]) <= start.step:
                    self._add_scores(int(epoch["step"]), epoch)

    def on_step(self, record: StepRecord) -> None:
        """Add a step to the curves."""
        self._add_step(record.step, step_values(record))

    def on_validation(self, record: ValidationRecord) -> None:
        """Add a validation, and draw."""
        scores = {f"valid_{name}": value for name, value in record.scores.items()}
        self._add_scores(record.step, scores)
        self._draw()

    def on_end(self, reason: str) -> None:
        """Draw all that there is."""
        if self._steps or self._scores:
            self._draw()

    def _add_step(self, step: int, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name.startswith(("loss_", "gradient_norm_", "learning_rate_")) and value != "":
                self._steps.setdefault(name, MeanCurve()).add(step, float(value))

    def _add_scores(self, step: int, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name.startswith("valid_") and value != "" and math.isfinite(float(value)):
                points = self._scores.setdefault(name.removeprefix("valid_"), [])
                points.append((step, float(value)))

    def _draw(self) -> None:
        with without_ending_the_run(self._console, "curves"), whole_file(self._path) as temporary:
            self._draw_panels(temporary)

    def _draw_panels(self, path: Path) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        groups = [name for name in ("loss_", "gradient_norm_", "learning_rate_") if self._of(name)]
        count = len(groups) + len(self._scores)
        width, height = _SIZE_INCHES
        figure = Figure(figsize=(width, height * max(1, count)), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        panels = iter(figure.subplots(max(1, count), 1, sharex=True, squeeze=False)[:, 0])
        for name, points in self._scores.items():
            axes = next(panels)
            steps, values = zip(*sorted(points), strict=True)
            axes.plot(steps, values, marker=".", label="network")
            if math.isfinite(codec := self._codec.get(name, math.nan)):
                axes.axhline(codec, linestyle="--", color="gray", label="codec")
            _finish(axes, f"validation\n{_UNITS.get(name, name)}")
        for group in groups:
            axes = next(panels)
            for name in self._of(group):
                axes.plot(*self._steps[name].points(), label=name.removeprefix(group))
            axes.set_yscale("log")
            _finish(axes, group.strip("_").replace("_", " "))
        axes.set_xlabel("step")
        figure.savefig(path, format="png")

    def _of(self, group: str) -> list[str]:
        return [name for name in self._steps if name.startswith(group)]


def _finish(axes: Any, label: str) -> None:
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="best")


def _read_history(path: Path) -> Iterable[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as source:
        return [row for row in csv.DictReader(source) if row.get("step", "").isdigit()]
