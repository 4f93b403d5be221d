"""The command line `apollo-model`: each command parses, calls one function and prints."""

from collections.abc import Sequence

import typer

from apollo_data.console import run_app
from apollo_model.cli import bench, convert, evaluate, info, restore, stream, train

app = typer.Typer(
    help="Train, score and run Apollo, the music restoration network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for module in (train, evaluate, restore, stream, info, convert, bench):
    module.register(app)


def main() -> None:
    """Run the command line; the console script's entry."""
    run_app(app, resumable=_goes_on)


def _goes_on(words: Sequence[str]) -> bool:
    """Tell whether a stopped command goes on when it is given again."""
    return words[:1] in (["train"], ["eval"], ["restore"]) and "--fresh" not in words
