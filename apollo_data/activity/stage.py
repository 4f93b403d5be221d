"""The activity stage: detect the active spans of every stem and write activity.jsonl."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apollo_data import __version__
from apollo_data.activity import detect as detectors
from apollo_data.audio.files import files_of
from apollo_data.console import Console
from apollo_data.errors import AudioError
from apollo_data.parallel import parallel_map
from apollo_data.records import (
    MIXTURE,
    ActiveSpan,
    Mixture,
    Rejection,
    Stem,
    StemActivity,
    Track,
)
from apollo_data.settings import ActivitySettings, section_toml
from apollo_data.storage import key_of, size_and_time
from apollo_data.workspace.folder import ActivityFiles
from apollo_data.workspace.manifest import (
    Manifest,
    is_current,
    read_manifest,
    write_manifest,
)
from apollo_data.workspace.progress import kept_rows, saving
from apollo_data.workspace.rebuild_reasons import rebuild_reason
from apollo_data.workspace.reject_log import RejectLog

STAGE = "sad"


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
    tracks: Manifest[Track],
    files: ActivityFiles,
    settings: ActivitySettings,
    rejects: RejectLog,
    workers: int,
    console: Console,
) -> Manifest[StemActivity]:
    """Find the active spans of every stem of the catalog and write activity.jsonl.

    A stem is not read again if its files, and the settings that its detector uses, are those of
    its row in activity.jsonl or in the part that an interrupted run has left.

    Parameters
    ----------
    tracks
        The catalog.
    files
        Where the manifest and its part are written.
    settings
        The detector and its thresholds.
    rejects
        Where stems that cannot be read are recorded.
    workers, console
        How many processes detect, and where progress is shown.

    Raises
    ------
    DataError
        In a strict run, a stem cannot be read.
    """
    origin = activity_origin(tracks, settings)
    if is_current(files.manifest, key_of(origin), tracks.root):
        rejects.check_earlier(STAGE)  # an earlier version may have left stems out
        console.note("activity: nothing to do")
    else:
        rows, rejections = _detect_new(tracks, files, settings, rejects, workers, console)
        rejects.record([STAGE], rejections)
        # With something left out the key is never that of `origin`: the next run tries again.
        key = key_of(origin, *(row.path for row in rejections))
        write_manifest(files.manifest, "activity", rows, key, tracks.root, origin)
    files.part.unlink(missing_ok=True)
    return read_manifest(files.manifest, "activity", StemActivity)


def activity_origin(tracks: Manifest[Track], settings: ActivitySettings) -> dict[str, str]:
    """Return what the activity follows from, in parts that can be named."""
    return {
        "settings": section_toml("activity", settings),
        "catalog": tracks.header.key,
    }


def _detect_new(
    tracks: Manifest[Track],
    files: ActivityFiles,
    settings: ActivitySettings,
    rejects: RejectLog,
    workers: int,
    console: Console,
) -> tuple[list[StemActivity], list[Rejection]]:
    """Return the rows of all stems, in the catalog's order, and what must be left out."""
    tasks = _stem_tasks(tracks, settings)
    known = {
        row.key: row.spans
        for path in (files.manifest, files.part)
        for row in kept_rows(path, "activity", StemActivity)
        if row.key
    }
    rows = {task: _row(task, known[task.key], settings) for task in tasks if task.key in known}
    new = [task for task in tasks if task not in rows]
    reason = rebuild_reason(
        files.manifest, activity_origin(tracks, settings), "to try what was left out"
    )
    why = f" ({reason})" if reason else ""
    if why and not rows:
        console.note(f"activity: detected anew{why}")

    def in_order() -> list[StemActivity]:
        return [rows[task] for task in tasks if task in rows]

    def save() -> None:
        write_manifest(files.part, "activity", in_order(), "", tracks.root)

    rejections: list[Rejection] = []
    with (
        saving(save) as tick,
        contextlib.closing(_detect(new, settings, workers, console)) as outcomes,
    ):
        for task, outcome in zip(new, outcomes, strict=True):
            if isinstance(outcome, StemActivity):
                rows[task] = outcome
                tick()
            else:
                rejects.check([outcome])
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
    states = [(os.path.relpath(file, root), *size_and_time(file)) for file in files]
    if any(size < 0 for _, size, _ in states):
        return None
    heeded = detectors.heeded_settings(stem_class, settings)
    detector = detectors.detector_for(stem_class, settings)
    return key_of(__version__, detector, heeded.model_dump(mode="json"), states)


def _detect(
    tasks: Sequence[_StemTask], settings: ActivitySettings, workers: int, console: Console
) -> Generator[StemActivity | Rejection, None, None]:
    detect = functools.partial(_detect_stem, settings=settings)
    with (
        console.progress("activity", len(tasks), "stems") as advance,
        contextlib.closing(parallel_map(detect, tasks, workers)) as outcomes,
    ):
        for outcome in outcomes:
            advance(1)
            yield outcome


def _detect_stem(task: _StemTask, settings: ActivitySettings) -> StemActivity | Rejection:
    try:
        spans = detectors.detect(task.files, task.stem_class, settings)
    except AudioError as error:
        return Rejection(task.path, STAGE, str(error))
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
        detectors.detector_for(task.stem_class, settings),
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
