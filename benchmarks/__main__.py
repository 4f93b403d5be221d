"""Run all benchmarks, print a table and keep the figures under .benchmarks/."""

import dataclasses
import json
import os
import platform
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from apollo_data.console import Console
from benchmarks import activity, building, codec, reading, training
from benchmarks.figure import Figure

_OUT = Path(".benchmarks")


def main() -> None:
    """Measure one thing after the other; about ten minutes in all."""
    console = Console()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="apollo-bench-") as folder:
        for part in (codec, activity, building, reading, training):
            console.note(f"{part.__name__} …")
            figures += part.measure(Path(folder))
    columns = ["what", "beside", "value", "plain", "unit", "ratio"]
    rows = [_row(figure) for figure in figures]
    load = os.getloadavg()[0]
    console.table(f"{os.cpu_count()} cores, load {load:.1f}", columns, rows, words=2)
    now = datetime.now(timezone.utc)
    values = [{**dataclasses.asdict(row), "ratio": row.ratio} for row in figures]
    about = {"time": now.isoformat(timespec="seconds"), "machine": platform.platform()}
    _OUT.mkdir(exist_ok=True)
    out = _OUT / f"{now:%Y%m%d-%H%M%S}.json"
    content = {**about, "cores": os.cpu_count(), "load": load, "figures": values}
    out.write_text(json.dumps(content, indent=2) + "\n")
    console.result(f"kept in {out}")


def _row(figure: Figure) -> list[str]:
    numbers = [f"{value:.1f}" for value in (figure.value, figure.plain)]
    return [figure.name, figure.plain_name, *numbers, figure.unit, f"{figure.ratio:.2f}"]


if __name__ == "__main__":
    main()
