"""`apollo-data sad`."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from apollo_data.activity.ground_truth import score_detectors
from apollo_data.activity.score import ClassScore
from apollo_data.activity.stage import summarise_activity, summary_json
from apollo_data.activity.timelines import draw_timelines
from apollo_data.catalog.source import find_tracks
from apollo_data.cli.options import (
    ALL_CORES,
    Config,
    Json,
    Quiet,
    Songs,
    Strict,
    Workers,
    read_settings,
)
from apollo_data.console import Console
from apollo_data.pipeline import prepare
from apollo_data.settings import ActivitySettings, DetectorName, Settings
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.reject_log import tell_rejections

_NAMES = get_args(DetectorName)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def sad(
        songs: Songs,
        out: Annotated[
            Path | None,
            typer.Option("--out", "-o", help="Working folder or activity.jsonl to write."),
        ] = None,
        config: Config = None,
        detector: Annotated[
            list[str] | None,
            typer.Option(
                "--detector",
                "-d",
                help=f"{', '.join(_NAMES)}; with --score several times, or all.",
                show_default="the pipeline's",
            ),
        ] = None,
        score: Annotated[
            bool,
            typer.Option("--score", help="Compare with the songs' true activity; writes no spans."),
        ] = False,
        plot: Annotated[
            Path | None,
            typer.Option("--plot", help="Folder for one timeline a song (PNG)."),
        ] = None,
        workers: Workers = ALL_CORES,
        as_json: Json = False,
        strict: Strict = False,
        quiet: Quiet = False,
    ) -> None:
        """Find out when each stem sounds (source activity detection).

        Writes activity.jsonl and prints files, hours and active share per stem class. With
        --score prints how well the detectors do on songs that know the truth, as the demo's do.

        Example: `apollo-data sad --in data/demo --score --detector all --plot timelines`
        """
        console = Console(quiet)
        settings = read_settings(config, strict)
        choices = _choices(detector, settings.activity, score)
        work = WorkFolder.of(songs, out, "activity")
        if score:
            _score(songs, work, settings, choices, plot, workers, as_json, console)
            return
        settings = settings.model_copy(update={"activity": choices[0]})
        with work.lock():
            found = prepare(songs, work, settings, workers, console)
        if plot:
            draw_timelines(found.tracks, found.activities.rows, plot, workers, console)
        summaries = summarise_activity(found.activities.rows)
        if as_json:
            console.result(json.dumps(summary_json(summaries), indent=2))
        else:
            rows = [
                [row.stem_class, str(row.files), f"{row.hours:.3f}", f"{row.active_share:.1%}"]
                for row in summaries
            ]
            console.table(str(work.activity), ["stem class", "files", "hours", "active"], rows)
        rejects = work.reject_log()
        tell_rejections(rejects.read(), console)
        rejects.check_files(found.tracks.rows, settings.max_rejected_share)


def _choices(
    names: Sequence[str] | None, settings: ActivitySettings, score: bool
) -> list[ActivitySettings]:
    """Return the settings of each detector that was asked for."""
    chosen = _NAMES if names and "all" in names else tuple(dict.fromkeys(names or ()))
    if unknown := [name for name in chosen if name not in _NAMES]:
        raise typer.BadParameter(
            f"unknown detector {unknown[0]!r}; known: {', '.join(_NAMES)}", param_hint="--detector"
        )
    if len(chosen) > 1 and not score:
        raise typer.BadParameter("several detectors need --score", param_hint="--detector")
    return [settings.model_copy(update={"detector": name}) for name in chosen] or [settings]


def _score(
    songs: Path,
    work: WorkFolder,
    settings: Settings,
    choices: Sequence[ActivitySettings],
    plot: Path | None,
    workers: int,
    as_json: bool,
    console: Console,
) -> None:
    tracks = find_tracks(
        songs, work, settings.catalog, work.reject_log(settings.strict), workers, console
    )
    scores: list[ClassScore] = []
    for choice, rows, scored in score_detectors(tracks, choices, workers, console):
        scores += scored
        if plot:
            folder = plot / choice.detector if len(choices) > 1 else plot
            draw_timelines(tracks, rows, folder, workers, console)
    if as_json:
        console.result(json.dumps([dataclasses.asdict(row) for row in scores], indent=2))
        return
    for choice in choices:
        console.table(
            f"detector {choice.detector}",
            ["stem class", "stems", "precision", "recall", "F1"],
            [
                [row.stem_class, str(row.stems), *map(_share, (row.precision, row.recall, row.f1))]
                for row in scores
                if row.detector == choice.detector
            ],
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
