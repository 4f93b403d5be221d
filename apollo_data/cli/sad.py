"""`apollo-data sad`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import (
    ALL_CORES,
    Config,
    Json,
    Quiet,
    Songs,
    Strict,
    Workers,
    read_settings,
)
from apollo_data.console import Console
from apollo_data.pipeline import prepare
from apollo_data.stages import summarise_activity, summary_json
from apollo_data.workfolder import WorkFolder


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def sad(
        songs: Songs,
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="Working folder or activity.jsonl to write."),
        ] = None,
        config: Config = None,
        workers: Workers = ALL_CORES,
        as_json: Json = False,
        strict: Strict = False,
        quiet: Quiet = False,
    ) -> None:
        """Find out when each stem sounds (source activity detection).

        Writes activity.jsonl and prints files, hours and active share per stem class.

        Example: `apollo-data sad --in musdb18hq`
        """
        console = Console(quiet)
        work = WorkFolder.of(songs, out, "activity")
        found = prepare(songs, work, read_settings(config, strict), workers, console)
        summaries = summarise_activity(found.activities.rows)
        if as_json:
            console.result(json.dumps(summary_json(summaries), indent=2))
            return
        console.table(
            str(work.activity),
            ["stem class", "files", "hours", "active"],
            [
                [row.stem_class, str(row.files), f"{row.hours:.3f}", f"{row.active_share:.1%}"]
                for row in summaries
            ],
        )
