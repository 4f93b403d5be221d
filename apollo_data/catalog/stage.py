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
from apollo_data.settings import CatalogSettings
from apollo_data.sources.exclusions import Exclusions
from apollo_data.sources.song import audio_files, look_with
from apollo_data.storage import key_of, size_and_time
from apollo_data.workspace.manifest import (
    Manifest,
    is_current,
    read_manifest,
    to_json,
    write_manifest,
)
from apollo_data.workspace.rejects import RejectLog


def make_catalog(
    root: Path,
    manifest: Path,
    files: Path,
    settings: CatalogSettings,
    exclusions: Exclusions,
    rejects: RejectLog,
    workers: int,
    console: Console,
) -> Manifest[Track]:
    """Find all songs below `root`, scan their files and write the catalog.

    Parameters
    ----------
    root
        The folder of songs; nothing is written to it.
    manifest, files
        Where tracks.jsonl and files.jsonl are written.
    settings
        Which songs and stems are taken.
    exclusions
        What is left out by choice.
    rejects
        Where everything else that is left out is recorded.
    workers, console
        How many processes scan, and where progress is shown.

    Raises
    ------
    DataError
        There is no such folder, no song in it or, in a strict run, something to be left out.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; name one that holds songs")
    known = scan_files(_files_of_songs(root), root, files, settings, workers, console)
    catalog = _without(exclusions, read_catalog(root, settings, look_with(known, root, settings)))
    rejects.check(catalog.rejections)
    if not catalog.tracks:
        raise DataError(
            f"{root}: no song found, {len(catalog.rejections)} rejected; expected MUSDB18-HQ's "
            "layout (a folder a song with mixture.wav and stems), MoisesDB's (data.json), or pairs "
            "(folders clean and degraded, or pairs.csv)"
        )
    key = key_of([to_json(track) for track in catalog.tracks], _file_states(root, catalog.tracks))
    rejects.record(["catalog"], catalog.rejections)
    if not is_current(manifest, key):
        if manifest.exists():
            console.note("catalog: written anew (songs, files or settings of the catalog changed)")
        write_manifest(manifest, "tracks", catalog.tracks, key, root)
    songs = Counter(track.split for track in catalog.tracks)
    shares = ", ".join(f"{songs[split]} {split}" for split in SPLITS)
    left_out = f"; {len(catalog.rejections)} rejected" if catalog.rejections else ""
    console.note(f"catalog: {len(catalog.tracks)} songs ({shares}){left_out}")
    return read_manifest(manifest, "tracks", Track)


def _files_of_songs(root: Path) -> list[Path]:
    songs = (folder for source, folder in find_songs(root) if source in SOURCES)
    return [file for folder in songs for file in audio_files(folder)]


def _without(exclusions: Exclusions, catalog: Catalog) -> Catalog:
    tracks, excluded = exclusions.apply(catalog.tracks)
    return Catalog(tuple(tracks), (*exclusions.mark(catalog.rejections), *excluded))


def _file_states(root: Path, tracks: Sequence[Track]) -> list[tuple[str, int, int]]:
    """Return (path, size, modification time) of every file: a changed file changes the key."""
    sounds = (sound for track in tracks for sound in track.sounds)
    files = {file for sound in sounds for file in files_of(root, sound.path, sound.sources)}
    pairs = (track.pair for track in tracks if track.pair)
    files |= {root / side for pair in pairs for side in (pair.clean, pair.degraded)}
    return [(os.path.relpath(file, root), *size_and_time(file)) for file in sorted(files)]
