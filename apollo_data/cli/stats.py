"""`apollo-data stats`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Json, Quiet
from apollo_data.console import Console
from apollo_data.stats.gather import gather
from apollo_data.stats.sheet import draw_sheet
from apollo_data.stats.tables import as_json as statistics_json
from apollo_data.stats.tables import tables


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def stats(
        path: Annotated[
            Path,
            typer.Argument(
                metavar="DIR", help="A working folder, shards, or a mixes.jsonl (recipes alone)."
            ),
        ],
        plot: Annotated[
            Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw a sheet, too.")
        ] = None,
        pairs: Annotated[
            int, typer.Option(min=1, help="Measure the sound of at most so many pairs a split.")
        ] = 500,
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        """Show what a data set holds: hours, draws, true bitrates, levels and spectral edges.

        The spectral edge is the highest frequency at which the coded side's mean spectrum is
        within 20 dB of the target's.

        Example: `apollo-data stats data/demo --plot demo.png`
        """
        console = Console(quiet)
        statistics = gather(path, pairs, console)
        if plot is not None:
            draw_sheet(statistics, plot)
            console.note(f"drawn: {plot}")
        if as_json:
            console.result(json.dumps(statistics_json(statistics), indent=2, allow_nan=False))
            return
        for table in tables(statistics):
            console.table(table.title, table.columns, table.rows)
        if statistics.has_shards:
            measured = ", ".join(
                f"{split.measured} of {split.recipes.pairs} {name}"
                for name, split in statistics.splits.items()
            )
            console.result(f"peak, loudness and edge were measured on {measured} pairs")
        else:
            console.result("no shards: recipes alone")
