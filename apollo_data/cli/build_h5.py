"""`apollo-data build-h5`."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import ALL_CORES, Config, Quiet, Strict, Workers, read_settings
from apollo_data.console import Console
from apollo_data.parallel import WHOLE_CLUSTER, cluster
from apollo_data.pipeline import build_h5 as run_build
from apollo_data.pipeline import build_h5_part
from apollo_data.records import SPLITS, ShardInfo
from apollo_data.shards.build import BuildReport, ShardPart
from apollo_data.workspace.folder import (
    WorkFolder,
    default_folder,
    is_work_folder,
    require_source,
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command("build-h5")
    def build_h5(
        config: Config = None,
        songs: Annotated[
            Path | None,
            typer.Option(
                "--in", "-i", help="Songs or a working folder; the pipeline's own songs without."
            ),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="Working folder.", show_default="data/<pipeline>"),
        ] = None,
        workers: Workers = ALL_CORES,
        scheduler: Annotated[
            str | None,
            typer.Option(help="Work on the Dask cluster of tcp://HOST:PORT; see docs/scaling.md."),
        ] = None,
        shards: Annotated[
            str | None,
            typer.Option(
                help="Build only shards A:B, or part I/N, of a plan that `mix` has written.",
                metavar="A:B|I/N",
            ),
        ] = None,
        strict: Strict = False,
        quiet: Quiet = False,
    ) -> None:
        """Run every stage that is missing, then encode the clips and write HDF5 shards.

        Interrupted or run again, it goes on from what is there.

        Example: `apollo-data build-h5 --config pipelines/demo.toml --workers 2`
        """
        console = Console(quiet)
        settings = read_settings(config, strict)
        part = ShardPart.parse(shards) if shards else None
        if songs is not None:
            require_source(songs)
        folder = out or _default_folder(songs, settings.name)
        if scheduler is not None:  # its processes may be at home elsewhere
            folder, songs = folder.absolute(), songs.absolute() if songs else None
        work = WorkFolder.at(folder)
        started = time.monotonic()
        processes = workers if scheduler is None else WHOLE_CLUSTER
        with contextlib.nullcontext() if scheduler is None else cluster(scheduler, console):
            if part:
                report = build_h5_part(work, settings, part, processes, console)
            else:
                report = run_build(songs, work, settings, processes, console)
        _show(report, str(work.shards), settings.mixing.clip_seconds, console)
        console.result(
            f"{report.drawn} clips drawn, {report.rejected} rejected; {report.reused} of "
            f"{len(report.shards)} shards were there already; {time.monotonic() - started:.0f} s"
        )


def _default_folder(songs: Path | None, name: str) -> Path:
    if songs is None or is_work_folder(songs) or songs.is_file():
        return Path("data") / name
    return default_folder(songs, name)


def _show(report: BuildReport, folder: str, clip_seconds: float, console: Console) -> None:
    rows = [_row(split, report.shards, clip_seconds) for split in SPLITS]
    columns = ["split", "shards", "targets", "pairs", "hours of pairs", "MB"]
    console.table(folder, columns, rows)


def _row(split: str, shards: Sequence[ShardInfo], clip_seconds: float) -> list[str]:
    own = [shard for shard in shards if shard.split == split]
    pairs = sum(shard.pairs for shard in own)
    return [
        split,
        str(len(own)),
        str(sum(shard.targets for shard in own)),
        str(pairs),
        f"{pairs * clip_seconds / 3600:.2f}",
        f"{sum(shard.bytes for shard in own) / 1e6:.1f}",
    ]
