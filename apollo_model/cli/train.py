"""`apollo-model train`."""

from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Config, Quiet
from apollo_data.console import INTERRUPTED, Console
from apollo_data.settings import load_settings
from apollo_model.cli.options import Device
from apollo_model.training.overfit import overfit_one_batch
from apollo_model.training.run import TrainingReport
from apollo_model.training.run import train as run_training
from apollo_model.training.watch.watchers import watchers


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
        fresh: Annotated[
            bool,
            typer.Option("--fresh", help="Begin anew; the run in the folder is moved aside in it."),
        ] = False,
        init: Annotated[
            str | None,
            typer.Option(help="Begin with this network: a file or a name on the hub."),
        ] = None,
        one_batch: Annotated[
            bool,
            typer.Option(
                "--overfit-one-batch",
                help="Only try whether the network learns: 300 steps on one batch.",
            ),
        ] = False,
        device: Device = "auto",
        resume: Annotated[bool, typer.Option("--resume", hidden=True)] = False,
        quiet: Quiet = False,
    ) -> None:
        """Train a network on shards; the same command goes on with a run that was stopped.

        Writes best.safetensors, last.pt and history.csv. Ctrl-C and SIGTERM save the state
        first. `torchrun --nproc-per-node N -m apollo_model train` trains on N GPUs.

        Example: `apollo-model train --config pipelines/demo.toml`
        """
        console = Console(quiet)
        settings = load_settings(config)
        shards = shards or Path("data") / settings.name / "shards"
        if one_batch:
            gain = overfit_one_batch(settings, shards, console, init=init, device=device)
            console.result(f"{gain:+.2f} dB of SI-SNR over the codec, on the batch it trained on")
            return
        out = out or Path("runs") / settings.name
        report = run_training(
            settings,
            shards,
            out,
            console,
            fresh=fresh,
            init=init,
            device=device,
            observers=watchers(console),
        )
        if report.stopped_by:
            then = "; go on without --fresh" if fresh else ""
            console.note(f"{report.stopped_by}: the state of step {report.steps} is saved{then}")
            raise typer.Exit(INTERRUPTED)
        console.result(_summary(report, settings.training.choose_by))


def _summary(report: TrainingReport, metric: str) -> str:
    best = report.best_scores[metric]
    against = (
        f"{best - report.codec_scores[metric]:+.3f} against the codec, "
        f"{best - report.untrained_scores[metric]:+.3f} against the start"
    )
    skipped = "".join(
        f"\n{count} steps of the {name} were skipped"
        for name, count in report.skipped.items()
        if count
    )
    return (
        f"{report.epochs} epochs, {report.steps} steps ({report.reason}); best: epoch "
        f"{report.best_epoch}, validation {metric} {best:.3f} ({against}){skipped}\n"
        f"{report.checkpoint}"
    )
