"""`apollo-data check`."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import ALL_CORES, Config, Json, Quiet, Source, Workers, read_settings
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.validation.check import check_data, write_exclusions
from apollo_data.workspace.folder import WorkFolder, songs_of


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def check(
        songs: Annotated[Path, typer.Argument(help="Folder of songs.")],
        expect: Annotated[
            list[Source] | None,
            typer.Option(help="A data set that must be there completely; may be repeated."),
        ] = None,
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="Working folder.", show_default="data/<folder>"),
        ] = None,
        fix: Annotated[
            bool,
            typer.Option("--fix", help="Write exclusions.jsonl, which later stages honour."),
        ] = False,
        listen: Annotated[bool, typer.Option(help="Compare the songs' audio fingerprints.")] = True,
        config: Config = None,
        workers: Workers = ALL_CORES,
        as_json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        """Say what is wrong with a data set; exit status 1 if anything is.

        Reads every file; compares songs, names and hours with the official ones; proves that
        no song, artist or recording is on both sides of a split. None of your files is changed.

        Example: `apollo-data check musdb18hq --fix`
        """
        console = Console(quiet)
        settings = read_settings(config)
        work = WorkFolder.of(songs, out, "tracks")
        songs = songs_of(songs)
        expected = [item.value for item in expect or ()]
        report = check_data(songs, work, settings, expected, listen, workers, console)
        if fix:
            added = write_exclusions(report, work)
            console.note(f"{work.exclusions}: {added} exclusions added{_where(out)}")
            report = check_data(songs, work, settings, expected, listen, workers, console)
        if as_json:
            console.result(
                json.dumps({"wrong": report.wrong, **dataclasses.asdict(report)}, indent=2)
            )
        else:
            rows = [
                [finding.check, "wrong" if finding.wrong else "note", finding.path, finding.problem]
                for finding in report.findings
            ]
            if rows:
                console.table(str(songs), ["check", "", "where", "what"], rows, words=4)
            counts = ", ".join(f"{count} {split}" for split, count in report.songs.items())
            console.result(f"{sum(report.songs.values())} songs ({counts}), {report.hours:.2f} h")
        if report.wrong:
            raise DataError(
                f"{songs}: {report.wrong} things are wrong; mend them, or leave them out with --fix"
            )


def _where(out: Path | None) -> str:
    """Tell what to do so that a build honours exclusions; by default it finds them itself."""
    return "" if out is None else f"; build with --out {out}, or copy the file to where you build"
