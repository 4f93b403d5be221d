"""`apollo-model convert`."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Json
from apollo_data.console import Console
from apollo_model.checkpoint.convert import convert_checkpoint
from apollo_model.checkpoint.describe import info_json, info_rows


class Weights(str, enum.Enum):
    """Which weights of a training state to take."""

    AUTO = "auto"
    RAW = "raw"
    EMA = "ema"


class StoredType(str, enum.Enum):
    """Type of the stored weights."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def convert(
        source: Annotated[
            str, typer.Argument(metavar="IN", help="A checkpoint, or a name on the hub.")
        ],
        out: Annotated[
            Path, typer.Argument(metavar="OUT", help="NAME.safetensors, or a folder for the hub.")
        ],
        weights: Annotated[
            Weights, typer.Option(help="As trained, or averaged; auto: averaged where there are.")
        ] = Weights.AUTO,
        dtype: Annotated[
            StoredType, typer.Option(help="Type of the stored weights; 16 bits halve the file.")
        ] = StoredType.FLOAT32,
        overwrite: Annotated[bool, typer.Option(help="Replace files that exist.")] = False,
        as_json: Json = False,
    ) -> None:
        """Convert any checkpoint, a training state too, to safetensors with a model card.

        Example: `apollo-model convert runs/demo/last.pt demo.safetensors --weights ema`
        """
        console = Console()
        info, card = convert_checkpoint(source, out, weights.value, dtype.value, overwrite)
        if as_json:
            console.result(info_json(info))
        else:
            console.table(info.path, ["", ""], info_rows(info), words=2)
            console.note(f"wrote {info.path} and its card {card}")
