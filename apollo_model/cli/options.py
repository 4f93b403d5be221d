"""Options shared by the commands that run a network."""

import enum
import re
from typing import Annotated

import typer

Checkpoint = Annotated[
    str,
    typer.Option("--checkpoint", help="Checkpoint file, or its name on the Hugging Face hub."),
]
Device = Annotated[
    str, typer.Option("--device", help="auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:N or mps.")
]


class DtypeName(str, enum.Enum):
    """Number types that a network can compute in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


Dtype = Annotated[
    DtypeName,
    typer.Option("--dtype", help="auto: bfloat16 where the hardware supports it."),
]

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_bytes(text: str) -> int:
    """Read a size such as 800MB, 2GB or 1.5G.

    Examples
    --------
    >>> parse_bytes("2GB"), parse_bytes("1.5g")
    (2000000000, 1500000000)
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)\s*([KMGT]?)B?", text.strip().upper())
    if not found or not float(found[1]):
        raise typer.BadParameter(f"expected a size such as 2GB, found {text!r}")
    return round(float(found[1]) * _UNITS[found[2]])
