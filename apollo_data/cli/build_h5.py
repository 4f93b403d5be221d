"""`apollo-data build-h5`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import ALL_CORES, Config, Quiet, Strict, Workers, read_settings
from apollo_data.console import Console
from apollo_data.pipeline import build_h5 as run_build
from apollo_data.records import SPLITS, ShardInfo
from apollo_data.workfolder import WorkFolder


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command("build-h5")
    def build_h5(
        config: Config = None,
        songs: Annotated[
            Path | None,
            typer.Option("--in", "-i", help="Folder of songs; the pipeline's own without one."),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="Working folder.", show_default="data/<pipeline>"),
        ] = None,
        workers: Workers = ALL_CORES,
        strict: Strict = False,
        quiet: Quiet = False,
    ) -> None:
        """Run every stage that is missing, then encode the clips and write HDF5 shards.

        Interrupted or run again, it goes on from what is there.

        Example: `apollo-data build-h5 --config pipelines/demo.toml --workers 2`
        """
        console = Console(quiet)
        settings = read_settings(config, strict)
        work = WorkFolder.at(out or Path("data") / settings.name)
        started = time.monotonic()
        report = run_build(songs, work, settings, workers, console)
        rows = [_row(split, report.shards, settings.mixing.clip_seconds) for split in SPLITS]
        columns = ["split", "shards", "targets", "pairs", "hours of pairs", "MB"]
        console.table(str(work.shards), columns, rows)
        console.result(
            f"{report.drawn} clips drawn, {report.rejected} rejected; {report.reused} of "
            f"{len(report.shards)} shards were there already; {time.monotonic() - started:.0f} s"
        )


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
