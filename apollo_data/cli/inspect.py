"""`apollo-data inspect`."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Json, Quiet
from apollo_data.console import Console
from apollo_data.shards import find_shards, summarise_shard
from apollo_data.workspace.folder import shards_in


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def inspect(
        path: Annotated[
            Path, typer.Argument(help="A shard, a folder of some, or a working folder.")
        ],
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        """Show what shards hold: clips, bitrates asked and true, categories, settings.

        Example: `apollo-data inspect data/demo/shards/test/shard-00000.h5`
        """
        console = Console(quiet)
        summaries = [summarise_shard(shard) for shard in find_shards(shards_in(path))]
        if as_json:
            console.result(json.dumps([dataclasses.asdict(item) for item in summaries], indent=2))
            return
        columns = ["shard", "split", "targets", "pairs", "s", "Hz", "kbit/s asked=true: pairs"]
        rows = [
            [
                item.path,
                item.split,
                str(item.targets),
                str(item.pairs),
                f"{item.clip_seconds:g}",
                str(item.sample_rate),
                ", ".join(f"{rates}: {count}" for rates, count in item.bitrates.items()),
            ]
            for item in summaries
        ]
        console.table(str(path), columns, rows)
        if len(summaries) == 1:
            only = summaries[0]
            console.result(f"categories: {only.categories}\nsoftware: {only.software}")
            console.result(f"\n{only.settings}")
