"""`apollo-model eval`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Config, Json, Quiet
from apollo_data.console import Console
from apollo_data.settings import load_settings
from apollo_model.checkpoint.formats import load_network
from apollo_model.cli.options import Device
from apollo_model.evaluation.score import evaluate as run_evaluation
from apollo_model.evaluation.tables import score_tables
from apollo_model.network.precision import choose_device


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command("eval")
    def evaluate(
        config: Config = None,
        checkpoint: Annotated[
            list[Path] | None,
            typer.Option(
                help="Network to score; may be given several times.",
                show_default="runs/<pipeline>/best.safetensors",
            ),
        ] = None,
        shards: Annotated[
            Path | None,
            typer.Option(help="Folder of shards.", show_default="data/<pipeline>/shards"),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option(
                "--out", "-o", help="Where to write.", show_default="runs/<pipeline>/eval"
            ),
        ] = None,
        device: Device = "auto",
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        """Score networks on the test shards, beside the unrestored codec.

        Writes scores.csv and summary.json and prints the tables.

        Example: `apollo-model eval --config pipelines/demo.toml`
        """
        console = Console(quiet)
        settings = load_settings(config)
        run = Path("runs") / settings.name
        place = choose_device(device)
        networks = {
            path.stem: load_network(path, place)
            for path in checkpoint or [run / "best.safetensors"]
        }
        shards = shards or Path("data") / settings.name / "shards"
        summary = run_evaluation(networks, shards, out or run / "eval", console, str(place))
        if as_json:
            console.result(json.dumps(summary, indent=2))
            return
        for table in score_tables(summary):
            console.table(table.title, table.columns, table.rows)
