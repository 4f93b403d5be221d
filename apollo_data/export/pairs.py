"""Layout ``pairs``: degraded and clean files of equal names, and a table of them.

Every pair has its own clean file, although pairs of one target share their content, so that
both folders hold equally many files.
"""

import csv
import dataclasses
import json
import math
from pathlib import Path

from apollo_data.console import Console
from apollo_data.disk_space import require_free_space
from apollo_data.errors import DataError
from apollo_data.export.folder import ExportReport, export_folder
from apollo_data.export.pair_files import (
    PairRow,
    missing_bytes,
    plan_pairs,
    shard_keys,
    write_all_pairs,
)
from apollo_data.shards import find_shards
from apollo_data.storage import key_of, whole_file
from apollo_data.workspace.folder import shards_in

TABLE = "pairs.csv"
COLUMNS = tuple(field.name for field in dataclasses.fields(PairRow))


def export_pairs(
    source: Path, out: Path, file_format: str, split: str | None, workers: int, console: Console
) -> ExportReport:
    """Write ``clean/`` and ``degraded/`` files and, when they are all there, ``pairs.csv``.

    Parameters
    ----------
    source
        A working folder, a folder of shards, or one shard.
    out
        Where to write; the same export run again does what is missing.
    file_format
        ``wav`` (32-bit floating point) or ``flac`` (16 bits for 16-bit shards, else 24).
    split
        Export this one alone.

    Raises
    ------
    DataError
        There are no shards, `out` is not to be had, or the disk is too small.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    shards = find_shards(shards_in(source), split)
    key = key_of("pairs", file_format, shard_keys(shards))
    name = "{split}_{name}." + file_format
    report = ExportReport()
    with export_folder(out, [source], key):
        tasks = plan_pairs(shards, out, f"degraded/{name}", f"clean/{name}", file_format)
        require_free_space({out: sum(map(missing_bytes, tasks))}, "the export")
        with (
            whole_file(out / TABLE) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as text,
        ):
            table = csv.writer(text, lineterminator="\n")
            table.writerow(COLUMNS)
            for done in write_all_pairs(tasks, "pairs", workers, console):
                table.writerows(map(_cells, done.rows))
                done.count(report, done.task.split)
    return report


def _cells(row: PairRow) -> list[str]:
    return [_cell(getattr(row, name)) for name in COLUMNS]


def _cell(value: str | float | tuple[str, ...]) -> str:
    """Return a value as the table has it: songs as a JSON list, nothing for what is not known."""
    if isinstance(value, tuple):
        return json.dumps(value)
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.9g}"
    return value
