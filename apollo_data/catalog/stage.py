"""The catalog stage: find the songs, scan their files, write files.jsonl and tracks.jsonl."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from apollo_data.audio.files import files_of
from apollo_data.catalog.copies import without_copies
from apollo_data.catalog.find_songs import Catalog, FoundSongs, find_songs, read_catalog
from apollo_data.catalog.scan_files import scan_files
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.records import SPLITS, FileFacts, Rejection, Track
from apollo_data.settings import CatalogSettings
from apollo_data.sources import paired
from apollo_data.sources.exclusions import Exclusions
from apollo_data.sources.pairs_table import Pair
from apollo_data.sources.song import DANGLING, UNREADABLE, audio_files, look_with
from apollo_data.storage import key_of, size_and_time
from apollo_data.workspace.manifest import (
    Manifest,
    is_current,
    read_manifest,
    to_json,
    write_manifest,
)
from apollo_data.workspace.reject_log import RejectLog, why_nothing

_LAYOUTS = (
    "MUSDB18-HQ's (a folder a song with any of mixture, drums, bass, other and vocals as WAV, FLAC "
    "or AIFF), MoisesDB's (data.json), or pairs (folders clean and degraded, or pairs.csv)"
)


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
        There is no such folder, no song in it or, in a strict run, something to be left out; or
        songs of the last catalog lie in a folder that cannot be opened now.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; name one that holds songs")
    found = find_songs(root)
    facts = scan_files(
        _files_of_songs(found),
        root,
        files,
        settings,
        workers,
        console,
        _files_of_pairs(found, root),
    )
    read = read_catalog(root, settings, look_with(facts, root, settings), found)
    catalog = _without(exclusions, read, facts, root)
    _refuse_closed_folders(manifest, catalog.rejections)
    rejects.record(["catalog"], catalog.rejections)
    rejects.check(catalog.rejections)
    for path in exclusions.unused(root):
        console.warn(f"catalog: exclusions.jsonl: {path!r} matches nothing below {root}")
    if not catalog.tracks:
        if catalog.rejections:
            why = why_nothing(catalog.rejections, rejects)
            raise DataError(f"{root}: no song can be used: {why}")
        raise DataError(f"{root}: no song found; expected {_LAYOUTS}")
    keys = _keys(catalog.tracks, facts, root)
    if not any(is_current(manifest, key, root) for key in keys):
        if manifest.exists():
            console.note("catalog: written anew (songs, files or settings of the catalog changed)")
        write_manifest(manifest, "tracks", catalog.tracks, keys[0], root)
    songs = Counter(track.split for track in catalog.tracks)
    shares = ", ".join(f"{songs[split]} {split}" for split in SPLITS)
    left_out = f"; {len(catalog.rejections)} rejected" if catalog.rejections else ""
    console.note(f"catalog: {len(catalog.tracks)} songs ({shares}){left_out}")
    return read_manifest(manifest, "tracks", Track)


def files_below(root: Path) -> list[Path]:
    """Return the audio files of all songs below `root`, without the user's own pairs."""
    return _files_of_songs(find_songs(root))


def _files_of_songs(found: FoundSongs) -> list[Path]:
    songs = (folder for source, folder in found.songs if source is not paired)
    return [file for folder in songs for file in audio_files(folder)]


def _files_of_pairs(found: FoundSongs, root: Path) -> list[Path]:
    sets = (folder for source, folder in found.songs if source is paired)
    pairs = (item for folder in sets for item in paired.find_pairs(folder, root))
    return [
        side for item in pairs if isinstance(item, Pair) for side in (item.clean, item.degraded)
    ]


def _without(
    exclusions: Exclusions, catalog: Catalog, facts: Mapping[Path, FileFacts], root: Path
) -> Catalog:
    tracks, excluded = exclusions.apply(catalog.tracks)
    tracks, copies = without_copies(tracks, facts, root)
    rejections = exclusions.mark(catalog.rejections)
    return Catalog(tuple(tracks), (*rejections, *excluded, *copies))


def _refuse_closed_folders(manifest: Path, rejections: Sequence[Rejection]) -> None:
    """Refuse to leave out songs of the last catalog because their folder is closed for now.

    A build after that would delete their shards.
    """
    closed = [row for row in rejections if row.reason.startswith((UNREADABLE, DANGLING))]
    if not closed or not manifest.is_file():
        return
    try:
        tracks = read_manifest(manifest, "tracks", Track).rows
    except DataError:
        return
    for row in closed:
        if row.detail.get("excluded_by"):
            continue
        for track in tracks:
            if any(_is_below(path, row.path) for path in _paths(track)):
                raise DataError(
                    f"{row.path}: {row.reason}, and the last catalog has {track.song!r} there; "
                    "make it readable again, or exclude it in exclusions.jsonl"
                )


def _paths(track: Track) -> Iterator[str]:
    yield from (sound.path for sound in track.sounds)
    if track.pair:
        yield from (track.pair.clean, track.pair.degraded)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _keys(tracks: Sequence[Track], facts: Mapping[Path, FileFacts], root: Path) -> tuple[str, str]:
    """Return the catalog's key, and the one that earlier versions gave to the same files.

    The key is a hash of the rows and the content of all files. Where `catalog.measure` is off
    nothing is read, and sizes and modification times stand in for the content.
    """
    files = sorted({file for track in tracks for file in _files(track, root)})
    rows = [to_json(track) for track in tracks]
    contents = [(os.path.relpath(file, root), _content(file, facts)) for file in files]
    states = [(os.path.relpath(file, root), *size_and_time(file)) for file in files]
    return key_of(rows, contents), key_of(rows, states)


def _content(file: Path, facts: Mapping[Path, FileFacts]) -> str | tuple[int, int]:
    row = facts.get(file)
    return row.content if row and row.content else size_and_time(file)


def _files(track: Track, root: Path) -> Iterator[Path]:
    for sound in track.sounds:
        yield from files_of(root, sound.path, sound.sources)
    if track.pair:
        yield from (root / track.pair.clean, root / track.pair.degraded)
