"""`apollo-data mix`."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli.options import ALL_CORES, Config, Quiet, Songs, Strict, Workers, read_settings
from apollo_data.console import Console
from apollo_data.mixing.previews import describe_stems, write_previews
from apollo_data.pipeline import plan_prepared, prepare
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.reject_log import tell_rejections


class _Split(str, Enum):
    train = "train"
    valid = "valid"
    test = "test"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def mix(
        songs: Songs,
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="Working folder or mixes.jsonl to write."),
        ] = None,
        config: Config = None,
        preview: Annotated[
            int | None,
            typer.Option("--preview", min=1, help="Write so many clips as WAV files to listen to."),
        ] = None,
        split: Annotated[
            _Split, typer.Option("--split", help="The split that the previews are of.")
        ] = _Split.train,
        workers: Workers = ALL_CORES,
        strict: Strict = False,
        quiet: Quiet = False,
    ) -> None:
        """Draw the recipes of all clips and write them down; only previews are rendered.

        Example: `apollo-data mix --in data/demo --config pipelines/demo.toml --preview 8`
        """
        console = Console(quiet)
        settings = read_settings(config, strict)
        work = WorkFolder.of(songs, out, "mixes")
        with work.lock():
            found = prepare(songs, work, settings, workers, console)
            sizes = plan_prepared(found, work, settings, console)
        rows = [[name, str(count)] for name, count in sizes.items()]
        console.table(str(work.mixes), ["split", "recipes"], rows)
        tell_rejections(work.reject_log().read(), console)
        if preview is not None:
            folder, rejects = work.path / "previews", work.reject_log(settings.strict)
            about = (settings.sample_rate, split.value, preview)
            written = write_previews(work.mixes, folder, *about, rejects, console)
            rows = [
                [item.path.name, item.recipe.category, describe_stems(item.recipe)]
                for item in written
            ]
            console.table(str(folder), ["file", "category", "stems"], rows)
        work.reject_log().check_files(found.tracks.rows, settings.max_rejected_share)
