"""Draw one timeline per song of what a detector found in it."""

import os
from collections.abc import Sequence
from pathlib import Path

from apollo_data.activity.ground_truth import Truth, find_truth, has_truth
from apollo_data.activity.timeline_picture import SongTimeline, StemTimeline, draw_timeline
from apollo_data.audio.files import files_of
from apollo_data.console import Console
from apollo_data.file_names import showable
from apollo_data.parallel import parallel_map
from apollo_data.records import StemActivity, Track
from apollo_data.storage import key_of
from apollo_data.workspace.manifest import Manifest

_LONGEST_NAME_BYTES = 240


def draw_timelines(
    tracks: Manifest[Track],
    rows: Sequence[StemActivity],
    folder: Path,
    workers: int,
    console: Console,
) -> list[Path]:
    """Write one PNG a song below `folder`, with the truth where it is known of all songs."""
    truth = find_truth(tracks) if has_truth(tracks) else None
    songs = [
        song for track in tracks.rows if (song := _song(tracks.root, track, rows, truth, folder))
    ]
    pictures = []
    with console.progress("timelines", len(songs), "songs") as advance:
        for picture in parallel_map(draw_timeline, songs, workers):
            advance(1)
            pictures.append(picture)
    return pictures


def _song(
    root: Path, track: Track, rows: Sequence[StemActivity], truth: Truth | None, folder: Path
) -> SongTimeline | None:
    """Return a song's picture to be; none if no stem of it could be read."""
    sources = {stem.path: stem.sources for stem in track.stems}
    stems = tuple(
        StemTimeline(
            row.stem_class,
            tuple(files_of(root, row.path, sources[row.path])),
            row.seconds,
            row.spans,
            row.detector,
            truth[row.path] if truth else None,
        )
        for row in rows
        if row.song == track.song and row.path in sources
    )
    title = showable(" - ".join(part for part in (track.artist, track.title) if part))
    return SongTimeline(folder / f"{_file_name(track.song)}.png", title, stems) if stems else None


def _file_name(song: str) -> str:
    name = song.replace("/", "_")
    return name if len(os.fsencode(name)) <= _LONGEST_NAME_BYTES else key_of(song)[:32]
