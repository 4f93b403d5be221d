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
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apollo_data import __version__, activity
from apollo_data.audio import files_of
from apollo_data.changes import why_anew
from apollo_data.console import Console
from apollo_data.errors import AudioError, DataError
from apollo_data.journal import kept_rows, saving
from apollo_data.manifest import (
    Manifest,
    is_current,
    read_manifest,
    to_json,
    write_manifest,
)
from apollo_data.records import (
    MIXTURE,
    SPLITS,
    ActiveSpan,
    Mixture,
    Rejection,
    Stem,
    StemActivity,
    Track,
)
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
    key: str | None


def detect_activity(
    tracks: Manifest[Track], work: WorkFolder, settings: Settings, workers: int, console: Console
) -> Manifest[StemActivity]:
    """Find the active spans of every stem of the catalog and write activity.jsonl.

    A stem is not heard again if its files and the settings that its detector heeds are those of
    its row in activity.jsonl, or in what a run that was broken off has left.
    """
    origin = activity_origin(tracks, settings)
    if is_current(work.activity, key_of(origin)):
        if settings.strict:  # a run of an earlier version may have left stems out
            refuse_rejections(row for row in work.read_rejects() if row.stage == "sad")
        console.note("activity: nothing to do")
    else:
        rows, rejections = _detect_new(tracks, work, settings, workers, console)
        work.record_rejects(["sad"], rejections)
        # With something left out the key is never that of `origin`: the next run tries again.
        key = key_of(origin, *(row.path for row in rejections))
        write_manifest(work.activity, "activity", rows, key, tracks.root, origin)
    if work.activity_part.exists():
        work.activity_part.unlink()
    return read_manifest(work.activity, "activity", StemActivity)


def activity_origin(tracks: Manifest[Track], settings: Settings) -> dict[str, str]:
    """Return what the activity follows from, in parts that can be named."""
    return {
        "settings": settings_toml(settings, {"activity"}),
        "catalog": tracks.header.key,
    }


def _detect_new(
    tracks: Manifest[Track], work: WorkFolder, settings: Settings, workers: int, console: Console
) -> tuple[list[StemActivity], list[Rejection]]:
    """Return the rows of all stems, in the catalog's order, and what must be left out."""
    tasks = _stem_tasks(tracks, settings.activity)
    known = {
        row.key: row.spans
        for path in (work.activity, work.activity_part)
        for row in kept_rows(path, "activity", StemActivity, tracks.root)
        if row.key
    }
    rows = {
        task: _row(task, known[task.key], settings.activity) for task in tasks if task.key in known
    }
    new = [task for task in tasks if task not in rows]
    reason = why_anew(work.activity, activity_origin(tracks, settings), "to try what was left out")
    why = f" ({reason})" if reason else ""
    if why and not rows:
        console.note(f"activity: detected anew{why}")

    def in_order() -> list[StemActivity]:
        return [rows[task] for task in tasks if task in rows]

    def save() -> None:
        write_manifest(work.activity_part, "activity", in_order(), "", tracks.root)

    rejections: list[Rejection] = []
    with (
        saving(save) as tick,
        contextlib.closing(_detect(new, settings.activity, workers, console)) as outcomes,
    ):
        for task, outcome in zip(new, outcomes, strict=True):
            if isinstance(outcome, StemActivity):
                rows[task] = outcome
                tick()
            else:
                if settings.strict:
                    refuse_rejections([outcome])
                rejections.append(outcome)
    if len(new) < len(tasks):
        counts = f"{len(new)} of {len(tasks)} stems detected"
        console.note(f"activity: {counts}, the others were known{why}")
    return in_order(), rejections


def detect_stems(
    tracks: Manifest[Track], settings: ActivitySettings, workers: int, console: Console
) -> Iterator[StemActivity | Rejection]:
    """Yield the activity of every stem, and of songs without stems, or why it cannot be told."""
    yield from _detect(_stem_tasks(tracks, settings), settings, workers, console)


def _stem_tasks(tracks: Manifest[Track], settings: ActivitySettings) -> list[_StemTask]:
    tasks = []
    for track in tracks.rows:
        for stem_class, sound in _sounds(track):
            files = tuple(files_of(tracks.root, sound.path, sound.sources))
            key = _stem_key(files, tracks.root, stem_class, settings)
            about = (track.song, track.split, stem_class, sound.path, sound.seconds)
            tasks.append(_StemTask(*about, files, key))
    return tasks


def _sounds(track: Track) -> list[tuple[str, Stem | Mixture]]:
    """Return a song's stems by class or, where it has none, its mixture."""
    if track.stems or track.mixture is None:
        return [(stem.stem_class, stem) for stem in track.stems]
    return [(MIXTURE, track.mixture)]


def _stem_key(
    files: Sequence[Path], root: Path, stem_class: str, settings: ActivitySettings
) -> str | None:
    """Return a hash of all that a stem's spans follow from; None where a file is missing."""
    states = [(os.path.relpath(file, root), *_size_and_time(file)) for file in files]
    if any(size < 0 for _, size, _ in states):
        return None
    heeded = activity.heeded_settings(stem_class, settings)
    detector = activity.detector_for(stem_class, settings)
    return key_of(__version__, detector, heeded.model_dump(mode="json"), states)


def _detect(
    tasks: Sequence[_StemTask], settings: ActivitySettings, workers: int, console: Console
) -> Generator[StemActivity | Rejection, None, None]:
    detect = functools.partial(_detect_stem, settings=settings)
    with (
        console.progress("activity", len(tasks), "stems") as advance,
        contextlib.closing(run(detect, tasks, workers)) as outcomes,
    ):
        for outcome in outcomes:
            advance(1)
            yield outcome


def _detect_stem(task: _StemTask, settings: ActivitySettings) -> StemActivity | Rejection:
    try:
        spans = activity.detect(task.files, task.stem_class, settings)
    except AudioError as error:
        return Rejection(task.path, "sad", str(error))
    return _row(task, spans, settings)


def _row(
    task: _StemTask, spans: tuple[ActiveSpan, ...], settings: ActivitySettings
) -> StemActivity:
    return StemActivity(
        task.song,
        task.split,
        task.stem_class,
        task.path,
        len(task.files),
        task.seconds,
        spans,
        activity.detector_for(task.stem_class, settings),
        task.key,
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
