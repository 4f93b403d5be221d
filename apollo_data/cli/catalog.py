"""`apollo-data catalog`."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.catalog.source import catalog_songs
from apollo_data.cli.options import ALL_CORES, Config, Quiet, Strict, Workers, read_settings
from apollo_data.console import Console
from apollo_data.records import SPLITS
from apollo_data.workspace.folder import WorkFolder, songs_of
from apollo_data.workspace.reject_log import tell_rejections


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def catalog(
        songs: Annotated[Path, typer.Option("--in", "-i", help="Folder of songs.")],
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="Working folder or tracks.jsonl to write."),
        ] = None,
        config: Config = None,
        workers: Workers = ALL_CORES,
        strict: Strict = False,
        quiet: Quiet = False,
    ) -> None:
        """Find the songs below a folder, in MUSDB18-HQ's or MoisesDB's layout.

        Writes tracks.jsonl, and rejects.jsonl with what cannot be used and why.

        Example: `apollo-data catalog --in musdb18hq --out data/mine`
        """
        console = Console(quiet)
        settings = read_settings(config, strict)
        work = WorkFolder.of(songs, out, "tracks")
        with work.lock():
            tracks = catalog_songs(
                songs_of(songs),
                work,
                settings.catalog,
                work.reject_log(settings.strict),
                workers,
                console,
            )
        counts = Counter((track.source, track.split) for track in tracks.rows)
        console.table(
            str(work.tracks),
            ["source", *SPLITS],
            [
                [source, *(str(counts[source, split]) for split in SPLITS)]
                for source in sorted({source for source, _ in counts})
            ],
        )
        rejects = work.reject_log()
        tell_rejections(rejects.read(), console)
        rejects.check_files(tracks.rows, settings.max_rejected_share)
