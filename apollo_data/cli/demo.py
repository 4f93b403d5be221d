"""`apollo-data demo`."""

from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import ALL_CORES, Quiet, Workers
from apollo_data.console import Console
from apollo_data.pipeline import make_demo
from apollo_data.settings import DemoSettings, Settings, parse_settings

_DEFAULTS = DemoSettings()


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def demo(
        out: Annotated[Path, typer.Option("--out", "-o", help="Where to write the songs.")] = Path(
            "data/demo/raw"
        ),
        songs: Annotated[int, typer.Option(help="How many songs.")] = _DEFAULTS.songs,
        seconds: Annotated[float, typer.Option(help="Length of each.")] = _DEFAULTS.seconds,
        seed: Annotated[int, typer.Option(help="Other songs for another seed.")] = _DEFAULTS.seed,
        workers: Workers = ALL_CORES,
        quiet: Quiet = False,
    ) -> None:
        """Synthesise songs with all 11 stem classes, in both data sets' layouts.

        The true activity of every stem stands beside it in activity.json.

        Example: `apollo-data demo --out songs --songs 4 --seconds 30`
        """
        values = {"songs": songs, "seconds": seconds, "seed": seed}
        settings: Settings = parse_settings({"demo": values}, "apollo-data demo")
        make_demo(out, settings, workers, Console(quiet))
        Console(quiet).result(str(out))
