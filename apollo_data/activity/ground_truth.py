"""The true activity of songs that know it, and how near the detectors come to it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from apollo_data.activity.score import ClassScore, count_frames, score_classes
from apollo_data.activity.stage import detect_stems
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.records import ActiveSpan, StemActivity, Track
from apollo_data.settings import ActivitySettings
from apollo_data.sources.demo.songs import ACTIVITY_FILE, read_truth
from apollo_data.workspace.manifest import Manifest

Truth = dict[str, tuple[ActiveSpan, ...]]
"""True spans of each stem, by the stem's path."""


def find_truth(tracks: Manifest[Track]) -> Truth:
    """Return the true spans of all stems of the catalog.

    Raises
    ------
    DataError
        A song has no truth beside it, or none for one of its stems.
    """
    truth: Truth = {}
    if not any(track.stems for track in tracks.rows):
        raise DataError(f"{tracks.root}: holds no song with stems to score detectors on")
    for track in tracks.rows:
        for stem in track.stems:
            folder = _song_folder(tracks.root, stem.path)
            if folder is None:
                raise DataError(
                    f"{tracks.root / stem.path}: its true activity is not known (no "
                    f"{ACTIVITY_FILE} beside the song); score on songs of `apollo-data demo`"
                )
            spans = read_truth(folder).get(stem.stem_class)
            if spans is None:
                raise DataError(f"{folder / ACTIVITY_FILE}: says nothing about {stem.stem_class}")
            truth[stem.path] = tuple(ActiveSpan(*span) for span in spans)
    return truth


def _song_folder(root: Path, path: str) -> Path | None:
    """Return the folder above a stem, at or below `root`, that holds the song's truth."""
    for parent in (root / path).parents:
        if (parent / ACTIVITY_FILE).is_file():
            return parent
        if parent == root:
            break
    return None


def has_truth(tracks: Manifest[Track]) -> bool:
    """Tell whether every song of the catalog knows its true activity."""
    return all(
        _song_folder(tracks.root, stem.path) for track in tracks.rows for stem in track.stems
    )


def score_detectors(
    tracks: Manifest[Track],
    choices: Sequence[ActivitySettings],
    workers: int,
    console: Console,
) -> Iterator[tuple[ActivitySettings, list[StemActivity], list[ClassScore]]]:
    """Run each detector over the catalog and score it; nothing is written.

    Yields
    ------
    tuple
        The settings, what the detector found, and its scores per stem class and over all.
        A stem that cannot be read counts in none of them and is told of.
    """
    truth = find_truth(tracks)
    for settings in choices:
        rows: list[StemActivity] = []
        for outcome in detect_stems(tracks, settings, workers, console):
            if isinstance(outcome, StemActivity):
                rows.append(outcome)
            else:
                console.warn(f"not scored: {outcome.reason}")
        counts = (
            (row.stem_class, count_frames(row.spans, truth[row.path], row.seconds))
            for row in rows
            if row.path in truth
        )
        yield settings, rows, score_classes(settings.detector, counts)
