"""metrics.csv: one row a step with every loss, gradient norm and learning rate.

Rows go to the operating system at once, so that a killed process loses none of the steps
that its saved state has. A resumed run first drops the rows of later steps, which come again.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from apollo_data.console import Console
from apollo_data.storage import whole_file
from apollo_model.training.observers import Observer, RunStart, StepRecord

FILE = "metrics.csv"
_FIXED = ("step", "epoch", "seconds")
_DIGITS = 7


class MetricsLog(Observer):
    """Writes metrics.csv.

    A new column, such as a loss that begins after the discriminator's warm-up, is added to
    the whole file; earlier rows have nothing in it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._path = Path()
        self._columns: list[str] = []
        self._file: IO[str] | None = None

    def on_start(self, start: RunStart) -> None:
        """Keep the rows up to the step that the run goes on from."""
        self._path = start.folder / FILE
        last = 0
        if start.step and self._path.is_file():
            columns, rows = read_metrics(self._path)
            self._columns = columns
            last = self._rewrite(row for row in rows if int(row["step"]) <= start.step)
        else:
            self._path.unlink(missing_ok=True)
        if last < start.step:
            self._console.warn(
                f"{self._path}: lacks the steps {last + 1} to {start.step} of an earlier session"
            )

    def on_step(self, record: StepRecord) -> None:
        """Append a row."""
        row = step_values(record)
        if new := [name for name in row if name not in self._columns]:
            self._add_columns(new)
        if self._file is None:
            self._file = self._path.open("a", newline="", encoding="utf-8")
        csv.writer(self._file).writerow([row.get(name, "") for name in self._columns])
        self._file.flush()

    def on_end(self, reason: str) -> None:
        """Close the file."""
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _add_columns(self, names: list[str]) -> None:
        self._close()
        rows = read_metrics(self._path)[1] if self._path.is_file() else iter(())
        self._columns += names
        self._rewrite(rows)

    def _rewrite(self, rows: Iterator[dict[str, str]]) -> int:
        """Write all rows anew; return the last one's step."""
        last = 0
        with (
            whole_file(self._path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as out,
        ):
            table = csv.writer(out)
            table.writerow(self._columns)
            for row in rows:
                table.writerow([row.get(name, "") for name in self._columns])
                last = int(row["step"])
        return last


def step_values(record: StepRecord) -> dict[str, Any]:
    """Return a step's values by column; the generator's sum of losses is `loss_generator`."""
    values: dict[str, Any] = {
        "step": record.step,
        "epoch": record.epoch,
        "seconds": f"{record.seconds:.3f}",
    }
    groups = {
        "loss": record.losses,
        "gradient_norm": record.gradient_norms,
        "learning_rate": record.learning_rates,
    }
    for group, numbers in groups.items():
        for name, value in numbers.items():
            values[f"{group}_{name}"] = f"{value:.{_DIGITS}g}"
    return values | {f"skipped_{name}": count for name, count in record.skipped.items()}


def read_metrics(path: Path) -> tuple[list[str], Iterator[dict[str, str]]]:
    """Return the columns of metrics.csv, and its rows one by one.

    A last row that a killed process has left half-written is not returned.
    """
    with path.open(newline="", encoding="utf-8", errors="replace") as source:
        columns = next(csv.reader(source), [])
    if tuple(columns[: len(_FIXED)]) != _FIXED:
        return [], iter(())
    return columns, _whole_rows(path, columns)


def _whole_rows(path: Path, columns: list[str]) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="replace") as source:
        next(source, None)
        for line in source:
            cells = next(csv.reader([line]), [])
            if line.endswith("\n") and len(cells) == len(columns) and cells[0].isdigit():
                yield dict(zip(columns, cells, strict=True))
