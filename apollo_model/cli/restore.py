"""`apollo-model restore`."""

import dataclasses
import enum
import json
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Json, Quiet
from apollo_data.console import Console, one_line
from apollo_model.checkpoint.hub import PUBLISHED
from apollo_model.checkpoint.prepared_network import load_prepared
from apollo_model.cli.options import Checkpoint, Device, Dtype, DtypeName, parse_bytes
from apollo_model.restore.files import (
    FAILED,
    RESTORED,
    SKIPPED,
    RestoreOptions,
    RestoreReport,
)
from apollo_model.restore.files import restore as run_restore
from apollo_model.restore.formats import OutputFormat
from apollo_model.restore.jobs import named_format


class Format(str, enum.Enum):
    """Formats of results."""

    WAV = "wav"
    FLAC = "flac"
    AIFF = "aiff"
    MP3 = "mp3"
    M4A = "m4a"
    OGG = "ogg"
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
            str, typer.Option(help="Memory limit of the network, on top of the program's own.")
        ] = "2GB",
        file_format: Annotated[
            Format | None,
            typer.Option(
                "--format", help="Format of the results.", show_default="suffix of --out, or wav"
            ),
        ] = None,
        depth: Annotated[
            Depth | None,
            typer.Option(
                help="Samples of WAV, FLAC, AIFF.", show_default="WAV float, FLAC and AIFF 24"
            ),
        ] = None,
        kbps: Annotated[
            int | None,
            typer.Option(
                min=8,
                max=1024,
                help="Bitrate of MP3, M4A, Opus.",
                show_default="MP3 320, M4A 256, Opus 192",
            ),
        ] = None,
        track: Annotated[
            int | None,
            typer.Option(
                min=1,
                help="Which audio track of a container (MKV, MP4).",
                show_default="the file's default track",
            ),
        ] = None,
        keep_rate: Annotated[
            bool, typer.Option("--keep-rate", help="Write at the input's sample rate.")
        ] = False,
        dry_wet: Annotated[
            float, typer.Option(min=0, max=1, help="1: restored; 0: the input; between: a mix.")
        ] = 1.0,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="Replace files not made by this command.")
        ] = False,
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        """Restore audio files, and all audio files in folders.

        Reads whatever ffmpeg decodes. A small hidden record beside each result lets a second call
        skip what is done. The exit status is 1 if a file could not be restored.

        Example: `apollo-model restore albums/ --out restored --format flac`
        """
        chosen = file_format.value if file_format else named_format(inputs, out) or "wav"
        form = OutputFormat(chosen, depth.value if depth else None, kbps)
        form.check()
        limit = parse_bytes(max_memory)
        options = RestoreOptions(form, keep_rate, dry_wet, limit, overwrite, track)
        network, _ = load_prepared(checkpoint, device, dtype.value)
        report = run_restore(inputs, out, network, options, Console(quiet))
        _show(report, Console(quiet), as_json)
        if report.count(FAILED):
            raise typer.Exit(1)


def _show(report: RestoreReport, console: Console, as_json: bool) -> None:
    if as_json:
        console.result(json.dumps(dataclasses.asdict(report), indent=2))
        return
    for file in report.files:
        if file.status == FAILED:
            console.result(one_line(f"failed: {file.source}: {file.reason}"))
    ignored = f"; {report.ignored} files without an audio suffix ignored" if report.ignored else ""
    console.result(
        f"{report.count(RESTORED)} restored, {report.count(SKIPPED)} were done already,"
        f" {report.count(FAILED)} failed{ignored}"
    )
