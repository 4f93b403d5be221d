"""Six-second segments of active audio, one HDF5 file for each stem of each training song."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from apollo_data.audio.files import files_of, read_sound
from apollo_data.audio.spans import frames_of_spans, merge_spans
from apollo_data.console import Console
from apollo_data.export.folder import ExportReport
from apollo_data.parallel import parallel_map
from apollo_data.records import ActiveSpan, Mixture, Stem, StemActivity, Track
from apollo_data.storage import whole_file
from apollo_data.workspace.manifest import Manifest

MIXTURE = "mixture"
SAMPLE_RATE = 44100
SEGMENT_SECONDS = 6.0
MIN_ACTIVE_SHARE = 0.5
"""How much of a segment must lie in active spans."""

_SEGMENT_SAMPLES = round(SEGMENT_SECONDS * SAMPLE_RATE)
_SEGMENT_BYTES = 2 * _SEGMENT_SAMPLES * 4
_HEAD_BYTES = 8192


@dataclass(frozen=True)
class SegmentTask:
    """One file to write: which segments of which sound."""

    path: Path
    folder: str
    song: str
    files: tuple[Path, ...]
    starts_seconds: tuple[float, ...]


@dataclass(frozen=True)
class SegmentsDone:
    """The result of a task."""

    task: SegmentTask
    bytes: int
    written: bool


def segment_starts(spans: Sequence[ActiveSpan], seconds: float) -> tuple[float, ...]:
    """Return where the active segments of a sound begin.

    A sound is cut at 0, 6, 12, … s. A segment is taken if at least half of it lies in active
    spans; a rest shorter than 6 s at the end is left out.

    Examples
    --------
    >>> segment_starts([ActiveSpan(3.0, 8.0), ActiveSpan(18.5, 20.0)], 23.0)
    (0.0,)
    """
    shares = frames_of_spans(spans, seconds, SEGMENT_SECONDS)
    places = np.flatnonzero(shares >= MIN_ACTIVE_SHARE)
    return tuple(float(place) * SEGMENT_SECONDS for place in places)


def plan_segments(
    tracks: Manifest[Track], activities: Manifest[StemActivity], out: Path
) -> list[SegmentTask]:
    """Return a task for every stem and whole mixture of the training songs with active segments.

    A mixture is active where any of its song's stems is. Songs of other splits are never read.
    """
    spans = {(row.song, row.path, row.stem_class): row.spans for row in activities.rows}
    training = [track for track in tracks.rows if track.split == "train"]
    tasks: list[SegmentTask] = []
    for number, track in enumerate(training):
        heard = {
            stem: spans.get((track.song, stem.path, stem.stem_class), ()) for stem in track.stems
        }
        sounds: list[tuple[str, Stem | Mixture, tuple[ActiveSpan, ...]]] = [
            (stem.stem_class, stem, own) for stem, own in heard.items()
        ]
        if track.mixture is not None:
            union = merge_spans(span for own in heard.values() for span in own)
            sounds.append((MIXTURE, track.mixture, union))
        for folder, sound, own in sounds:
            if starts := segment_starts(own, sound.seconds):
                files = tuple(files_of(tracks.root, sound.path, sound.sources))
                path = out / folder / f"sample{number}.hdf5"
                tasks.append(SegmentTask(path, folder, track.song, files, starts))
    return tasks


def missing_segment_bytes(task: SegmentTask) -> int:
    """Return how many bytes the file of a task will take if it is not there yet."""
    return 0 if task.path.is_file() else len(task.starts_seconds) * _SEGMENT_BYTES + _HEAD_BYTES


def write_all_segments(
    tasks: Sequence[SegmentTask], report: ExportReport, workers: int, console: Console
) -> None:
    """Write all files that are not there yet and count what is there."""
    total = sum(len(task.starts_seconds) for task in tasks)
    with (
        console.progress("segments", total, "segments") as advance,
        contextlib.closing(parallel_map(write_segments, tasks, workers)) as results,
    ):
        for done in results:
            segments = len(done.task.starts_seconds)
            advance(segments)
            report.add(
                done.task.folder,
                files=1,
                clips=segments,
                seconds=segments * SEGMENT_SECONDS,
                size_bytes=done.bytes,
                written=int(done.written),
            )


def write_segments(task: SegmentTask) -> SegmentsDone:
    """Write the file of a task unless it is there: ``data``, (segments, 2, 264600) float32."""
    written = not _is_whole(task)
    if written:
        with whole_file(task.path) as temporary, h5py.File(temporary, "w", locking=False) as file:
            shape = (len(task.starts_seconds), 2, _SEGMENT_SAMPLES)
            data = file.create_dataset("data", shape, np.float32)
            for number, start in enumerate(task.starts_seconds):
                data[number] = read_sound(task.files, start, _SEGMENT_SAMPLES, SAMPLE_RATE)
            data.attrs["song"] = task.song.encode("utf-8", "replace").decode("utf-8")
            data.attrs["start_seconds"] = task.starts_seconds
    return SegmentsDone(task, task.path.stat().st_size, written)


def _is_whole(task: SegmentTask) -> bool:
    try:
        with h5py.File(task.path, "r", locking=False) as file:
            return file["data"].shape == (len(task.starts_seconds), 2, _SEGMENT_SAMPLES)
    except (OSError, KeyError):
        return False
