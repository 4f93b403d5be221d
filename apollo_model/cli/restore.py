"""`apollo-model restore`."""

import dataclasses
import enum
import json
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Json, Quiet
from apollo_data.console import Console
from apollo_model.checkpoint.hub import PUBLISHED
from apollo_model.checkpoint.prepare import load_prepared
from apollo_model.cli.options import Checkpoint, Device, Dtype, DtypeName, parse_bytes
from apollo_model.restore.audio_out import OutputFormat
from apollo_model.restore.files import (
    FAILED,
    RESTORED,
    SKIPPED,
    RestoreOptions,
    RestoreReport,
)
from apollo_model.restore.files import restore as run_restore


class Format(str, enum.Enum):
    """What results are written as."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"


class Depth(str, enum.Enum):
    """Bits of a sample."""

    FLOAT = "float"
    BITS16 = "16"
    BITS24 = "24"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def restore(
        inputs: Annotated[list[Path], typer.Argument(metavar="IN...", help="Files and folders.")],
        out: Annotated[
            Path, typer.Option("--out", "-o", help="A folder; or, for one input file, a file.")
        ],
        checkpoint: Checkpoint = PUBLISHED,
        dtype: Dtype = DtypeName.AUTO,
        device: Device = "auto",
        max_memory: Annotated[
            str, typer.Option(help="What the network's work may take beside the program.")
        ] = "2GB",
        file_format: Annotated[
            Format | None,
            typer.Option("--format", help="How to write.", show_default="as --out ends, else wav"),
        ] = None,
        depth: Annotated[
            Depth | None,
            typer.Option(help="Of WAV and FLAC.", show_default="WAV float, FLAC 24"),
        ] = None,
        kbps: Annotated[
            int | None,
            typer.Option(min=8, max=512, help="Of MP3 and Opus.", show_default="MP3 320, Opus 192"),
        ] = None,
        keep_rate: Annotated[
            bool, typer.Option("--keep-rate", help="Write at the input's sample rate.")
        ] = False,
        dry_wet: Annotated[
            float, typer.Option(min=0, max=1, help="1: restored; 0: as it was; between: mixed.")
        ] = 1.0,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace files not made by this command.")
        ] = False,
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        """Restore audio files and folders of them.

        Reads whatever ffmpeg decodes; writes beside each result a small hidden record, by which
        a second call knows what is done. Ends with 1 if a file could not be restored.

        Example: `apollo-model restore albums/ --out restored --format flac`
        """
        chosen = file_format.value if file_format else _format_of(inputs, out)
        form = OutputFormat(chosen, depth.value if depth else None, kbps)
        form.check()
        options = RestoreOptions(form, keep_rate, dry_wet, parse_bytes(max_memory), overwrite)
        network, key = load_prepared(checkpoint, device, dtype.value)
        report = run_restore(inputs, out, network, options, Console(quiet), key)
        _show(report, Console(quiet), as_json)
        if report.count(FAILED):
            raise typer.Exit(1)


def _format_of(inputs: list[Path], out: Path) -> str:
    suffix = out.suffix.lower().removeprefix(".")
    named = len(inputs) == 1 and not inputs[0].is_dir() and not out.is_dir()
    return suffix if named and suffix in {member.value for member in Format} else "wav"


def _show(report: RestoreReport, console: Console, as_json: bool) -> None:
    if as_json:
        console.result(json.dumps(dataclasses.asdict(report), indent=2))
        return
    for file in report.files:
        if file.status == FAILED:
            console.result(f"failed: {file.source}: {file.reason}")
    ignored = f", {report.ignored} other files left alone" if report.ignored else ""
    console.result(
        f"{report.count(RESTORED)} restored, {report.count(SKIPPED)} were done already,"
        f" {report.count(FAILED)} failed{ignored}"
    )
