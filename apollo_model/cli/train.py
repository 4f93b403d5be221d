"""`apollo-model train`."""

from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Config, Quiet
from apollo_data.console import Console
from apollo_data.settings import load_settings
from apollo_model.training.run import train as run_training


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def train(
        config: Config = None,
        shards: Annotated[
            Path | None,
            typer.Option(help="Folder of shards.", show_default="data/<pipeline>/shards"),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="Run folder.", show_default="runs/<pipeline>"),
        ] = None,
        resume: Annotated[bool, typer.Option(help="Go on from the run folder's state.")] = False,
        device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
        quiet: Quiet = False,
    ) -> None:
        """Train a network on shards.

        Writes best.safetensors, last.pt, history.csv and TensorBoard events.

        Example: `apollo-model train --config pipelines/demo.toml --resume`
        """
        console = Console(quiet)
        settings = load_settings(config)
        report = run_training(
            settings,
            shards or Path("data") / settings.name / "shards",
            out or Path("runs") / settings.name,
            console,
            resume,
            device,
        )
        gain = report.untrained_valid_loss - report.best_valid_loss
        console.result(
            f"{report.epochs} epochs ({report.reason}); best: epoch {report.best_epoch}, "
            f"validation SI-SNR {-report.best_valid_loss:.3f} dB ({gain:+.3f} against untrained)\n"
            f"{report.checkpoint}"
        )
