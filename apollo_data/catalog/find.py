"""Find the songs below a folder by what is in their folders, whatever the folders' names."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from apollo_data.records import Rejection, Track
from apollo_data.settings import CatalogSettings
from apollo_data.sources import moisesdb, musdb18hq, paired
from apollo_data.sources.artists import keep_apart
from apollo_data.sources.song import Look, look_with

SOURCES: tuple[ModuleType, ...] = (musdb18hq, moisesdb)


@dataclass(frozen=True)
class Catalog:
    """The songs below one root, sorted by id, and what was left out."""

    tracks: tuple[Track, ...]
    rejections: tuple[Rejection, ...]


def find_songs(root: Path) -> Iterator[tuple[ModuleType, Path]]:
    """Yield (source, folder) of each song or set of pairs, by path; links are followed once."""
    seen: set[str] = set()
    for name, folders, _files in os.walk(root, followlinks=True):
        folder = Path(name)
        real = os.path.realpath(name)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        if paired.is_set(folder):
            yield paired, folder
            folders[:] = paired.other_folders(folder, folders)
        elif source := next((item for item in SOURCES if item.is_song(folder)), None):
            yield source, folder
            folders.clear()
        folders[:] = sorted(item for item in folders if not item.startswith("."))


def _read(
    source: ModuleType, folder: Path, root: Path, settings: CatalogSettings, look: Look
) -> tuple[list[Track], list[Rejection]]:
    if source is paired:
        return paired.read_set(folder, root)
    track, refused = source.read_song(folder, root, settings, look)
    return ([track] if track else []), refused


def read_catalog(
    root: Path, settings: CatalogSettings | None = None, look: Look | None = None
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
    """
    settings = settings or CatalogSettings()
    look = look or look_with({}, root, settings)
    tracks: dict[str, Track] = {}
    rejections: list[Rejection] = []
    for source, folder in find_songs(root):
        found, refused = _read(source, folder, root, settings, look)
        rejections += refused
        for track in found:
            if track.song in tracks:
                path = folder.relative_to(root).as_posix()
                rejections.append(Rejection(path, "catalog", f"song {track.song!r} is there twice"))
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
