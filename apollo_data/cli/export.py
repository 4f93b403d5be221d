"""`apollo-data export`."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import ALL_CORES, Quiet, Workers
from apollo_data.console import Console
from apollo_data.export.folder import ExportReport
from apollo_data.export.pairs import export_pairs
from apollo_data.export.upstream import export_upstream


class Layout(str, enum.Enum):
    """The layouts, as an option that `--help` lists."""

    UPSTREAM = "upstream"
    PAIRS = "pairs"


class Format(str, enum.Enum):
    """Sound files of the layout ``pairs``."""

    WAV = "wav"
    FLAC = "flac"


class Split(str, enum.Enum):
    """Splits of the layout ``pairs``."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def export(
        path: Annotated[
            Path, typer.Argument(metavar="DIR", help="A working folder, or a folder of shards.")
        ],
        layout: Annotated[Layout, typer.Option("--layout", "-l", help="Whose layout.")],
        out: Annotated[
            Path, typer.Option("--out", "-o", help="Where to write; a folder of its own.")
        ],
        file_format: Annotated[
            Format, typer.Option("--format", help="pairs: float WAV, or FLAC of 16 or 24 bits.")
        ] = Format.WAV,
        split: Annotated[Split, typer.Option("--split", help="pairs: which split.")] = Split.ALL,
        workers: Workers = ALL_CORES,
        quiet: Quiet = False,
    ) -> None:
        """Write a data set in another trainer's layout.

        `upstream` is what the paper's public trainer reads: 6-s segments of the training
        songs' stems and mixtures as HDF5, and evaluation folders. `pairs` is two folders of
        sound files with equal names, and pairs.csv. Run again, it does what is missing.

        Example: `apollo-data export data/demo --layout pairs --split test --out pairs`
        """
        console = Console(quiet)
        if layout is Layout.UPSTREAM:
            if file_format is not Format.WAV or split is not Split.ALL:
                raise typer.BadParameter("--format and --split belong to --layout pairs")
            report = export_upstream(path, out, workers, console)
        else:
            chosen = None if split is Split.ALL else split.value
            report = export_pairs(path, out, file_format.value, chosen, workers, console)
        _show(report, out, console)


def _show(report: ExportReport, out: Path, console: Console) -> None:
    rows = [
        [
            folder,
            str(own.files),
            str(own.clips),
            f"{own.seconds / 3600:.3f}",
            f"{own.bytes / 1e6:.1f}",
        ]
        for folder, own in report.folders.items()
    ]
    console.table(str(out), ["", "files", "clips", "hours", "MB"], rows)
    console.result(f"{report.written} files written, {report.kept} were there already")
    if report.missing_classes:
        console.result(
            f"no segments of {', '.join(report.missing_classes)}: the public trainer draws from "
            "all 11 classes; take these out of its list `instruments`"
        )
