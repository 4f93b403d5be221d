"""The catalog stage: find the songs, scan their files, write files.jsonl and tracks.jsonl."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from apollo_data.audio.files import files_of
from apollo_data.catalog.find import SOURCES, Catalog, find_songs, read_catalog
from apollo_data.catalog.scan import scan_files
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.records import (
    SPLITS,
    Track,
)
from apollo_data.settings import Settings
from apollo_data.sources.exclusions import Exclusions
from apollo_data.sources.song import audio_files, look_with
from apollo_data.storage import key_of, size_and_time
from apollo_data.workspace.folder import WorkFolder, refuse_rejections
from apollo_data.workspace.manifest import (
    Manifest,
    is_current,
    read_manifest,
    to_json,
    write_manifest,
)


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
    known = scan_files(files, root, work.path, settings.catalog, workers, console)
    catalog = read_catalog(root, settings.catalog, look_with(known, root, settings.catalog))
    tracks, refused = exclusions.apply(catalog.tracks)
    return Catalog(tuple(tracks), (*exclusions.mark(catalog.rejections), *refused))


def _file_states(root: Path, tracks: Sequence[Track]) -> list[tuple[str, int, int]]:
    """Return (path, size, modification time) of every file: a changed file changes the key."""
    sounds = (sound for track in tracks for sound in track.sounds)
    files = {file for sound in sounds for file in files_of(root, sound.path, sound.sources)}
    pairs = (track.pair for track in tracks if track.pair)
    files |= {root / side for pair in pairs for side in (pair.clean, pair.degraded)}
    return [(os.path.relpath(file, root), *size_and_time(file)) for file in sorted(files)]
