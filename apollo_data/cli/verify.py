"""`apollo-data verify`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Json, Quiet
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.shards import describe_problems, verify_shards


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def verify(
        paths: Annotated[list[Path], typer.Argument(help="Shards or folders of shards.")],
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        """Check shards against shards.jsonl and the format; exit status 1 if anything is wrong.

        Example: `apollo-data verify data/demo/shards`
        """
        console = Console(quiet)
        problems = {str(shard): found for path in paths for shard, found in verify_shards(path)}
        bad = {shard: found for shard, found in problems.items() if found}
        if as_json:
            console.result(json.dumps({"checked": len(problems), "problems": bad}, indent=2))
        else:
            for shard, found in bad.items():
                for problem in found:
                    console.result(f"{shard}: {problem}")
        if bad:
            raise DataError(f"{describe_problems(bad)}, of {len(problems)} shards")
        if not as_json:
            console.result(f"{len(problems)} shards are whole")
