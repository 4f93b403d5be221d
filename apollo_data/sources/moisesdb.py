"""MoisesDB: `{song uuid}/data.json`, audio at `{song uuid}/{stemName}/{track id}.{extension}`."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from apollo_data.records import Rejection, Stem, Track
from apollo_data.settings import CatalogSettings
from apollo_data.settings import facts as committed
from apollo_data.sources.artists import split_of
from apollo_data.sources.song import (
    Look,
    describe_stem,
    mixture_of,
    reject,
    reject_unnamed,
    reject_unusable,
)

NAME = "moisesdb"
_DESCRIPTION = "data.json"


def is_song(folder: Path) -> bool:
    """Tell whether a folder holds a song in this layout: a data.json that speaks of stems."""
    path = folder / _DESCRIPTION
    if not path.is_file():
        return False
    try:
        return '"stems"' in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return True  # reading the song then says what is wrong with it


def read_song(
    folder: Path, root: Path, settings: CatalogSettings, look: Look
) -> tuple[Track | None, list[Rejection]]:
    """Read one song; a stem with a missing or unreadable source is left out as a whole.

    A stem without one of its sources would be another sound, so it is not used.
    """
    try:
        description = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        described, rejections = _read_stems(description, folder, root, settings)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"is no description of a song ({type(error).__name__}: {error})"
        return None, [reject(folder / _DESCRIPTION, root, why)]
    unnamed = reject_unnamed(folder, root, _named(description, folder), "is not named by data.json")
    stems: list[Stem] = []
    for stem_class, found in described.items():
        if refused := reject_unusable(found.files, root, look):
            rejections += refused
            continue
        stem = describe_stem(stem_class, found.files, root, look)
        stems.append(dataclasses.replace(stem, has_bleed=found.has_bleed))
    if not stems:
        return None, [*rejections, *unnamed]
    song, artist = f"{NAME}/{folder.name}", str(description.get("artist") or "")
    kept = {stem.stem_class for stem in stems}
    whole = [file for name, found in described.items() if name in kept for file in found.files]
    track = Track(
        song=song,
        source=NAME,
        split=split_of(song, artist, settings.split_by),
        title=str(description.get("song", folder.name)),
        artist=artist,
        stems=tuple(stems),
        mixture=None if rejections else mixture_of(whole, root, look),
    )
    return track, [*rejections, *unnamed]


@dataclasses.dataclass
class _DescribedStem:
    """What data.json says of one stem class."""

    files: list[Path]
    has_bleed: bool


def _read_stems(
    description: dict[str, Any], folder: Path, root: Path, settings: CatalogSettings
) -> tuple[dict[str, _DescribedStem], list[Rejection]]:
    """Return what is there of each stem class, and what data.json names but cannot be used."""
    classes = committed.stem_map(NAME)
    described: dict[str, _DescribedStem] = {}
    rejections: list[Rejection] = []
    for stem in description["stems"]:
        name = stem["stemName"]
        has_bleed = any(item.get("has_bleed") for item in stem["tracks"])
        files = _sources(stem, folder)
        if name not in classes:
            rejections.append(reject(folder / name, root, f"unknown stem {name!r}"))
        elif missing := [file for file in files if not os.path.lexists(file)]:
            rejections += [reject(file, root, "no such file") for file in missing]
        elif not files:
            rejections.append(reject(folder / name, root, "names no sources"))
        elif has_bleed and settings.exclude_bleed:
            row = reject(folder / name, root, "has bleed, which is to be excluded")
            detail = {"excluded_by": "catalog.exclude_bleed"}
            rejections.append(dataclasses.replace(row, detail=detail))
        else:
            found = described.setdefault(classes[name], _DescribedStem([], False))
            found.files.extend(files)
            found.has_bleed |= has_bleed
    return described, rejections


def _sources(stem: dict[str, Any], folder: Path) -> list[Path]:
    place = folder / stem["stemName"]
    return [place / f"{item['id']}.{item['extension']}" for item in stem["tracks"]]


def _named(description: dict[str, Any], folder: Path) -> list[Path]:
    return [file for stem in description["stems"] for file in _sources(stem, folder)]


def assign_splits(tracks: list[Track]) -> list[Track]:
    """Keep the splits by hash: MoisesDB has no official ones."""
    return tracks
