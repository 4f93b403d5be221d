"""The stages before the plan: catalog and activity. Each turns its input into a manifest.

A stage is known by the key of its settings and inputs, which its manifest's first row
holds; run again with the same key, it does nothing. What it leaves out becomes rows of
rejects.jsonl. `apollo_data.planning` and `apollo_data.building` go on from here.
"""

import contextlib
import dataclasses
import functools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apollo_data import activity
from apollo_data.audio import files_of
from apollo_data.changes import why_anew
from apollo_data.console import Console
from apollo_data.errors import AudioError, DataError
from apollo_data.manifest import (
    Manifest,
    is_current,
    read_manifest,
    to_json,
    write_manifest,
)
from apollo_data.records import MIXTURE, SPLITS, Mixture, Rejection, Stem, StemActivity, Track
from apollo_data.rejects import part_rejections
from apollo_data.runner import run
from apollo_data.settings import ActivitySettings, Settings, settings_toml
from apollo_data.sources.catalog import SOURCES, Catalog, find_songs, read_catalog
from apollo_data.sources.exclusions import Exclusions
from apollo_data.sources.song import audio_files, look_with
from apollo_data.storage import key_of
from apollo_data.survey import survey_files
from apollo_data.workfolder import WorkFolder, refuse_rejections


def make_catalog(
    root: Path, work: WorkFolder, settings: Settings, workers: int, console: Console
) -> Manifest[Track]:
    """Find all songs below `root`, look at their files and write files.jsonl and tracks.jsonl.

    Raises
    ------
    DataError
        There is no such folder, no song in it or, with `strict`, something to be left out.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; name one that holds songs")
    catalog = _look_and_read(root, work, settings, workers, console)
    if settings.strict:
        refuse_rejections(catalog.rejections)
    if not catalog.tracks:
        raise DataError(
            f"{root}: no song found, {len(catalog.rejections)} rejected; expected MUSDB18-HQ's "
            "layout (a folder a song with mixture.wav and stems), MoisesDB's (data.json), or pairs "
            "(folders clean and degraded, or pairs.csv)"
        )
    key = key_of([to_json(track) for track in catalog.tracks], _file_states(root, catalog.tracks))
    work.record_rejects(["catalog"], catalog.rejections)
    if not is_current(work.tracks, key):
        if work.tracks.exists():
            console.note("catalog: written anew (songs, files or settings of the catalog changed)")
        write_manifest(work.tracks, "tracks", catalog.tracks, key, root)
    songs = Counter(track.split for track in catalog.tracks)
    shares = ", ".join(f"{songs[split]} {split}" for split in SPLITS)
    left_out = f"; {len(catalog.rejections)} rejected" if catalog.rejections else ""
    console.note(f"catalog: {len(catalog.tracks)} songs ({shares}){left_out}")
    return read_manifest(work.tracks, "tracks", Track)


def _look_and_read(
    root: Path, work: WorkFolder, settings: Settings, workers: int, console: Console
) -> Catalog:
    """Read the catalog of what is not excluded, each file looked at once."""
    exclusions = Exclusions(work.read_exclusions())
    songs = (folder for source, folder in find_songs(root) if source in SOURCES)
    files = [file for folder in songs for file in audio_files(folder)]
    known = survey_files(files, root, work.path, settings.catalog, workers, console)
    catalog = read_catalog(root, settings.catalog, look_with(known, root, settings.catalog))
    tracks, refused = exclusions.apply(catalog.tracks)
    return Catalog(tuple(tracks), (*exclusions.mark(catalog.rejections), *refused))


def _file_states(root: Path, tracks: Sequence[Track]) -> list[tuple[str, int, int]]:
    """Return (path, size, modification time) of every file: a changed file changes the key."""
    sounds = (sound for track in tracks for sound in track.sounds)
    files = {file for sound in sounds for file in files_of(root, sound.path, sound.sources)}
    pairs = (track.pair for track in tracks if track.pair)
    files |= {root / side for pair in pairs for side in (pair.clean, pair.degraded)}
    return [(os.path.relpath(file, root), *_size_and_time(file)) for file in sorted(files)]


def _size_and_time(file: Path) -> tuple[int, int]:
    """Return a file's state; that a side of a pair is missing, its alignment finds out."""
    try:
        state = file.stat()
    except OSError:
        return -1, -1
    return state.st_size, state.st_mtime_ns


@dataclass(frozen=True)
class _StemTask:
    song: str
    split: str
    stem_class: str
    path: str
    seconds: float
    files: tuple[Path, ...]


def detect_activity(
    tracks: Manifest[Track], work: WorkFolder, settings: Settings, workers: int, console: Console
) -> Manifest[StemActivity]:
    """Find the active spans of every stem of the catalog and write activity.jsonl."""
    origin = activity_origin(tracks, settings)
    key = key_of(origin)
    if is_current(work.activity, key):
        if settings.strict:  # an earlier, lenient run may have left stems out
            refuse_rejections(row for row in work.read_rejects() if row.stage == "sad")
        console.note("activity: nothing to do")
        return read_manifest(work.activity, "activity", StemActivity)
    if reason := why_anew(work.activity, origin):
        console.note(f"activity: detected anew ({reason})")
    outcomes = detect_stems(tracks, settings.activity, workers, console)
    rows, rejections = part_rejections(outcomes, settings.strict)
    work.record_rejects(["sad"], rejections)
    write_manifest(work.activity, "activity", rows, key, tracks.root, origin)
    return read_manifest(work.activity, "activity", StemActivity)


def activity_origin(tracks: Manifest[Track], settings: Settings) -> dict[str, str]:
    """Return what the activity follows from, in parts that can be named."""
    return {
        "settings": settings_toml(settings, {"activity"}),
        "catalog": tracks.header.key,
    }


def detect_stems(
    tracks: Manifest[Track], settings: ActivitySettings, workers: int, console: Console
) -> Iterator[StemActivity | Rejection]:
    """Yield the activity of every stem, and of songs without stems, or why it cannot be told."""
    tasks = [
        _StemTask(
            track.song,
            track.split,
            stem_class,
            sound.path,
            sound.seconds,
            tuple(files_of(tracks.root, sound.path, sound.sources)),
        )
        for track in tracks.rows
        for stem_class, sound in _sounds(track)
    ]
    detect = functools.partial(_detect_stem, settings=settings)
    with (
        console.progress("activity", len(tasks), "stems") as advance,
        contextlib.closing(run(detect, tasks, workers)) as outcomes,
    ):
        for outcome in outcomes:
            advance(1)
            yield outcome


def _sounds(track: Track) -> list[tuple[str, Stem | Mixture]]:
    """Return a song's stems by class or, where it has none, its mixture."""
    if track.stems or track.mixture is None:
        return [(stem.stem_class, stem) for stem in track.stems]
    return [(MIXTURE, track.mixture)]


def _detect_stem(task: _StemTask, settings: ActivitySettings) -> StemActivity | Rejection:
    try:
        spans = activity.detect(task.files, task.stem_class, settings)
    except AudioError as error:
        return Rejection(task.path, "sad", str(error))
    return StemActivity(
        task.song,
        task.split,
        task.stem_class,
        task.path,
        len(task.files),
        task.seconds,
        spans,
        activity.detector_for(task.stem_class, settings),
    )


@dataclass(frozen=True)
class ActivitySummary:
    """One row of the activity table."""

    stem_class: str
    files: int
    hours: float
    active_share: float


def summarise_activity(rows: Sequence[StemActivity]) -> list[ActivitySummary]:
    """Return files, hours and active share per stem class, and of all together."""
    summaries = []
    classes = dict.fromkeys(row.stem_class for row in sorted(rows, key=lambda row: row.stem_class))
    for name in (*classes, "all"):
        own = [row for row in rows if name in (row.stem_class, "all")]
        seconds = sum(row.seconds for row in own)
        active = sum(row.active_seconds for row in own)
        share = active / seconds if seconds else 0.0
        summaries.append(
            ActivitySummary(name, sum(row.files for row in own), seconds / 3600.0, share)
        )
    return summaries


def summary_json(summaries: Sequence[ActivitySummary]) -> list[dict[str, object]]:
    """Return the activity table as plain JSON values."""
    return [dataclasses.asdict(row) for row in summaries]
