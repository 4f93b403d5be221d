"""The command line `apollo-data`: each command parses, calls one function and prints."""

import typer

from apollo_data.cli import (
    build_h5,
    catalog,
    check,
    demo,
    download,
    export,
    inspect,
    mix,
    sad,
    stats,
    verify,
)
from apollo_data.console import run_app

app = typer.Typer(
    help="Turn multitrack music into verified training data for music restoration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for module in (
    *(demo, download, catalog, check, sad, mix, build_h5),
    *(verify, inspect, stats, export),
):
    module.register(app)


def main() -> None:
    """Run the command line; the console script's entry."""
    run_app(app)
