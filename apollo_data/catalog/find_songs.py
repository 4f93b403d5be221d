"""Find the songs below a folder by what is in their folders, whatever the folders' names."""

import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from apollo_data.errors import DataError
from apollo_data.records import Rejection, Track
from apollo_data.settings import CatalogSettings
from apollo_data.sources import moisesdb, musdb18hq, paired
from apollo_data.sources.artists import keep_apart
from apollo_data.sources.loose_audio import reject_loose, reject_without_description
from apollo_data.sources.pairs_table import Pair, table_in
from apollo_data.sources.song import Look, look_with, reject, unreadable_folder
from apollo_data.sources.walk import Place, walk
from apollo_data.workspace.folder import OWN_FOLDERS, is_work_folder

SOURCES: tuple[ModuleType, ...] = (moisesdb, musdb18hq)


@dataclass(frozen=True)
class Catalog:
    """The songs below one root, sorted by id, and what was left out."""

    tracks: tuple[Track, ...]
    rejections: tuple[Rejection, ...]


@dataclass(frozen=True)
class FoundSongs:
    """Each song or set of pairs as (source, folder), by path, and what is neither."""

    songs: tuple[tuple[ModuleType, Path], ...]
    rejections: tuple[Rejection, ...]


def find_songs(root: Path) -> FoundSongs:
    """Look through all folders below `root`; links are followed once.

    Every folder that holds audio is part of a song or a set of pairs, or has a row that says why
    it is not. Folders that this software has written are passed.

    Raises
    ------
    DataError
        `root` itself cannot be opened.
    """
    songs: list[tuple[ModuleType, Path]] = []
    rejections: list[Rejection] = []
    named: set[str] = set()
    for place in walk(root):
        if isinstance(place, OSError):
            folder = Path(os.fsdecode(place.filename))
            if folder == root:
                raise DataError(f"{root}: cannot be opened ({place.strerror})")
            rejections.append(unreadable_folder(folder, root, place))
            continue
        if is_work_folder(place.path):
            place.folders[:] = [name for name in place.folders if name not in OWN_FOLDERS]
        source = _source_of(place, named)
        if source is not None:
            songs.append((source, place.path))
        if source is paired:
            _enter_set(place, root, named)
        elif source is not None:
            place.folders.clear()
            continue
        elif row := reject_without_description(place, root):
            rejections.append(row)
            place.folders.clear()
        rejections += reject_loose(place, root, lambda file: str(file) in named)
    return FoundSongs(tuple(songs), tuple(rejections))


def _source_of(place: Place, named: set[str]) -> ModuleType | None:
    if table_in(place.path) is not None:
        return paired
    below = f"{place.path}{os.sep}"
    if any(name.startswith(below) for name in named):
        return None  # these files belong to pairs of a table further up
    if paired.is_set(place.path):
        return paired
    return next((item for item in SOURCES if item.is_song(place.path)), None)


def _enter_set(place: Place, root: Path, named: set[str]) -> None:
    """Note which files a set of pairs takes, and keep the walk out of its two sides."""
    if table_in(place.path) is None:
        place.folders[:] = [name for name in place.folders if name not in ("clean", "degraded")]
        return
    for item in paired.find_pairs(place.path, root):
        if isinstance(item, Pair):
            named |= {os.path.normpath(item.clean), os.path.normpath(item.degraded)}


def _read(
    source: ModuleType, folder: Path, root: Path, settings: CatalogSettings, look: Look
) -> tuple[list[Track], list[Rejection]]:
    if source is paired:
        return paired.read_set(folder, root)
    track, refused = source.read_song(folder, root, settings, look)
    return ([track] if track else []), refused


def read_catalog(
    root: Path,
    settings: CatalogSettings | None = None,
    look: Look | None = None,
    found: FoundSongs | None = None,
) -> Catalog:
    """Read every song below `root`; a song id found twice is kept once and rejected after.

    Parameters
    ----------
    root
        The folder to search.
    settings
        What is taken; the defaults without them.
    look
        Knows the files; without it, each is read here and now.
    found
        What `find_songs` has found below `root`, if that is known.
    """
    settings = settings or CatalogSettings()
    look = look or look_with({}, root, settings)
    found = found or find_songs(root)
    tracks: dict[str, Track] = {}
    rejections = list(found.rejections)
    for source, folder in found.songs:
        own, refused = _read(source, folder, root, settings, look)
        rejections += refused
        for track in own:
            if track.song in tracks:
                rejections.append(reject(folder, root, f"song {track.song!r} is there twice"))
            else:
                tracks[track.song] = track
    kept = [track for track in tracks.values() if track.pair]
    for source in SOURCES:
        kept += source.assign_splits(
            [item for item in tracks.values() if item.source == source.NAME]
        )
    if settings.split_by == "artist":
        kept, refused = keep_apart(kept)
        rejections += refused
    return Catalog(tuple(sorted(kept, key=lambda track: track.song)), tuple(rejections))
