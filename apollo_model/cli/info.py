"""`apollo-model info`."""

from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Json
from apollo_data.console import Console
from apollo_data.storage import write_text
from apollo_model.checkpoint.describe import describe_checkpoint, info_json, info_rows, model_card


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def info(
        checkpoint: Annotated[
            str, typer.Argument(metavar="FILE", help="A checkpoint, or a name on the hub.")
        ],
        card: Annotated[
            Path | None, typer.Option(help="Write a model card (Markdown) there too.")
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Say what a checkpoint holds: sizes, form, parameters, and what was stored beside it.

        Example: `apollo-model info runs/demo/best.safetensors`
        """
        console = Console()
        found = describe_checkpoint(checkpoint)
        if card is not None:
            write_text(card, model_card(found))
        if as_json:
            console.result(info_json(found))
        else:
            console.table(found.path, ["", ""], info_rows(found), words=2)
