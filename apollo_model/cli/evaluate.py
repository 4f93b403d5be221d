"""`apollo-model eval`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import ALL_CORES, Config, Json, Quiet, Workers
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.settings import load_settings
from apollo_model.cli.options import Device
from apollo_model.evaluation.score_systems import evaluate as run_evaluation
from apollo_model.evaluation.score_systems import read_speeds
from apollo_model.evaluation.summary import without_results
from apollo_model.evaluation.tables import all_tables
from apollo_model.network.precision import choose_device


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command("eval")
    def evaluate(
        config: Config = None,
        system: Annotated[
            list[str] | None,
            typer.Option(
                "--system",
                "-s",
                help="NAME=WHAT, several times: a checkpoint, a folder of restored files, a "
                "command with {in} and {out}, identity or copy-up. NAME= may be left out.",
                show_default="runs/<pipeline>/best.safetensors",
            ),
        ] = None,
        checkpoint: Annotated[
            list[Path] | None,
            typer.Option(help="Network to score, as --system; may be given several times."),
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
        limit: Annotated[
            int | None,
            typer.Option(
                min=1,
                help="Score so many pairs, drawn evenly over bitrates and categories.",
                show_default="all",
            ),
        ] = None,
        metrics: Annotated[
            str, typer.Option(help="Scores to compute, with commas.", show_default="all")
        ] = "",
        align: Annotated[
            bool, typer.Option("--align", help="Move shifted results back before scoring.")
        ] = False,
        clips: Annotated[int, typer.Option(min=0, help="Clips to keep for listening.")] = 12,
        device: Device = "auto",
        workers: Workers = ALL_CORES,
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        """Score networks and other programs on the test shards, beside the unrestored codec.

        Writes scores.csv, summary.json, tables, figures and clips to listen to, and prints the
        tables. A second call goes on, and scores what is new.

        Example: `apollo-model eval --config pipelines/demo.toml --system copy-up`
        """
        console = Console(quiet)
        settings = load_settings(config)
        run = Path("runs") / settings.name
        chosen = [*(system or []), *(str(path) for path in checkpoint or [])]
        summary = run_evaluation(
            chosen or [str(run / "best.safetensors")],
            shards or Path("data") / settings.name / "shards",
            out or run / "eval",
            console,
            str(choose_device(device)),
            workers=workers,
            limit=limit,
            metrics=[name for part in metrics.split(",") if (name := part.strip())],
            align=align,
            clips=clips,
        )
        if as_json:
            console.result(json.dumps(summary, indent=2))
        else:
            for table in all_tables(summary, read_speeds(out or run / "eval")):
                console.table(table.title, table.columns, table.rows)
        if nothing := without_results(summary):
            raise DataError("; ".join(nothing))
