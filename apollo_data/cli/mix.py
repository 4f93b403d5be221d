"""`apollo-data mix`."""

from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import ALL_CORES, Config, Quiet, Songs, Strict, Workers, read_settings
from apollo_data.console import Console
from apollo_data.pipeline import prepare
from apollo_data.rejects import refuse_too_many
from apollo_data.stages import plan_mixes
from apollo_data.workfolder import WorkFolder


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def mix(
        songs: Songs,
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="Working folder or mixes.jsonl to write."),
        ] = None,
        config: Config = None,
        workers: Workers = ALL_CORES,
        strict: Strict = False,
        quiet: Quiet = False,
    ) -> None:
        """Draw the recipes of all clips and write them down; no sample is rendered.

        Example: `apollo-data mix --in data/demo --config pipelines/demo.toml`
        """
        console = Console(quiet)
        settings = read_settings(config, strict)
        work = WorkFolder.of(songs, out, "mixes")
        found = prepare(songs, work, settings, workers, console)
        sizes = plan_mixes(found.tracks, found.activities, work, settings, console)
        rows = [[split, str(count)] for split, count in sizes.items()]
        console.table(str(work.mixes), ["split", "recipes"], rows)
        refuse_too_many(work, found.tracks.rows, settings)
