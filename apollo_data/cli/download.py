"""`apollo-data download`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import Quiet, Source
from apollo_data.console import Console
from apollo_data.disk_space import readable_bytes
from apollo_data.download.fetch import download_source
from apollo_data.errors import ApolloError
from apollo_data.settings import facts as committed
from apollo_data.storage import write_text

_ACCEPTED = ".licence-accepted.json"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def download(
        source: Annotated[Source, typer.Argument(help="The data set.")],
        out: Annotated[
            Path, typer.Option("--out", "-o", help="Where the data set gets a folder.")
        ] = Path("data/raw"),
        mirror: Annotated[
            str | None, typer.Option(metavar="URL", help="Fetch the same archive from here.")
        ] = None,
        archive: Annotated[
            Path | None, typer.Option(metavar="FILE", help="Unpack this archive; it is kept.")
        ] = None,
        accept_licence: Annotated[
            bool, typer.Option("--accept-licence", help="Accept its licence without a question.")
        ] = False,
        keep_archive: Annotated[
            bool,
            typer.Option(
                "--keep-archive/--delete-archive", help="Whether the fetched archive stays."
            ),
        ] = True,
        quiet: Quiet = False,
    ) -> None:
        """Fetch a data set, verify it and unpack it safely.

        Interrupted, killed or cut off, it goes on from what is there when it is run again.

        Example: `apollo-data download musdb18hq --out data/raw --delete-archive`
        """
        if mirror is not None and archive is not None:
            raise typer.BadParameter("--mirror and --archive exclude each other")
        console = Console(quiet)
        facts = committed.source_facts(source.value)
        _agree(facts, out / facts.name / _ACCEPTED, accept_licence, console)
        folder = download_source(
            facts, out, console, mirror=mirror, archive=archive, keep_archive=keep_archive
        )
        console.result(str(folder))


def _agree(facts: committed.SourceFacts, accepted: Path, accept: bool, console: Console) -> None:
    """Show the licence and have it accepted, once for each folder and licence."""
    licence = {"licence": facts.licence, "address": facts.licence_address}
    try:
        if json.loads(accepted.read_text(encoding="utf-8")) == licence:
            return
    except (OSError, ValueError):
        pass
    size = readable_bytes(facts.approximate_bytes)
    unpacked = readable_bytes(facts.approximate_unpacked_bytes)
    text = (
        f"{facts.title} ({facts.homepage}): about {size}, unpacked {unpacked}\n"
        f"licence: {facts.licence} ({facts.licence_address})\n{facts.terms}"
    )
    if accept:
        console.note(text)
    elif sys.stdin.isatty():
        # typer.confirm would write to stdout, where only the result belongs.
        print(f"{text}\nDo you accept this licence? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise ApolloError(f"{facts.title}: its licence was not accepted; nothing was fetched")
    else:
        raise ApolloError(
            f"{facts.title}: its licence ({facts.licence}, {facts.licence_address}) is not "
            "accepted yet; read it and add --accept-licence"
        )
    write_text(accepted, json.dumps(licence, indent=1, ensure_ascii=False))
