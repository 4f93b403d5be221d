"""Options that several commands share, so that they read the same everywhere."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.parallel import default_workers
from apollo_data.settings import Settings, load_settings

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Pipeline file, or the name of one that comes with the software, such as demo. "
        "Without it: the documented defaults.",
    ),
]
Songs = Annotated[
    Path,
    typer.Option("--in", "-i", help="Folder of songs, a working folder, or a tracks.jsonl."),
]
Workers = Annotated[
    int,
    typer.Option("--workers", "-j", min=1, help="Processes.", show_default="all cores"),
]
ALL_CORES = default_workers()
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="End at the first thing that must be left out (exit status 1)."),
]


class Source(str, enum.Enum):
    """The data sets of manifests/sources.toml, as an argument that `--help` lists."""

    MUSDB18HQ = "musdb18hq"
    MOISESDB = "moisesdb"


def read_settings(config: Path | None, strict: bool = False) -> Settings:
    """Read a pipeline file; the option makes a lenient pipeline strict, never the reverse."""
    settings = load_settings(config)
    return settings.model_copy(update={"strict": True}) if strict else settings
