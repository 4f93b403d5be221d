"""MoisesDB: `{song uuid}/data.json`, audio at `{song uuid}/{stemName}/{track id}.{extension}`."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from apollo_data.file_names import find_named, normal_form
from apollo_data.records import Rejection, Stem, Track
from apollo_data.settings import CatalogSettings
from apollo_data.settings import facts as committed
from apollo_data.sources.artists import split_of
from apollo_data.sources.audio_names import is_audio
from apollo_data.sources.song import (
    Look,
    describe_stem,
    mixture_of,
    reject,
    reject_unnamed,
    reject_unusable,
)
from apollo_data.sources.split_folders import folder_split

NAME = "moisesdb"
DESCRIPTION = "data.json"


def is_song(folder: Path) -> bool:
    """Tell whether a folder holds a song in this layout: a data.json that names stems.

    A data.json that is empty, damaged or unreadable counts too: reading the song then says what
    is wrong with it. One that is about something else does not.
    """
    path = find_named(folder / DESCRIPTION)
    if not os.path.lexists(path):
        return False
    try:
        values = _read_description(path)
    except (OSError, ValueError):
        return True
    return isinstance(values, dict) and "stems" in values


def lacks_description(folder: Path) -> bool:
    """Tell whether a folder has stem folders with audio, as this layout has, and no data.json."""
    try:
        stems = [item for item in folder.iterdir() if item.name.casefold() in _stem_names()]
        return any(
            is_audio(file.name) for stem in stems if stem.is_dir() for file in stem.iterdir()
        )
    except OSError:
        return False


def _stem_names() -> frozenset[str]:
    return frozenset(committed.stem_map(NAME))


def _read_description(path: Path) -> Any:
    if path.exists() and not path.is_file():  # a FIFO would be waited for
        raise ValueError("is no plain file")
    return json.loads(path.read_text(encoding="utf-8-sig"))


def read_song(
    folder: Path, root: Path, settings: CatalogSettings, look: Look
) -> tuple[Track | None, list[Rejection]]:
    """Read one song; a stem with a missing or unreadable source is left out as a whole.

    A stem without one of its sources would be another sound, so it is not used.
    """
    path = find_named(folder / DESCRIPTION)
    try:
        description = _read_description(path)
        described, rejections = _read_stems(description, folder, root, settings)
        named = _named(description, folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        is_empty = path.is_file() and path.stat().st_size == 0
        why = "is an empty file" if is_empty else f"{type(error).__name__}: {error}"
        return None, [reject(path, root, f"is no description of a song ({why})")]
    unnamed = reject_unnamed(folder, root, named, "is not named by data.json")
    stems: list[Stem] = []
    for stem_class, found in described.items():
        if refused := reject_unusable(found.files, root, look):
            rejections += refused
            continue
        stem = describe_stem(stem_class, found.files, root, look)
        stems.append(dataclasses.replace(stem, has_bleed=found.has_bleed))
    if not stems:
        nothing = [] if rejections else [reject(path, root, "names no stems")]
        return None, [*rejections, *nothing, *unnamed]
    name = normal_form(folder.resolve().name if folder == root else folder.name)
    song, artist = f"{NAME}/{name}", str(description.get("artist") or "")
    kept = {stem.stem_class for stem in stems}
    whole = [file for part, found in described.items() if part in kept for file in found.files]
    track = Track(
        song=song,
        source=NAME,
        split=folder_split(folder, root) or split_of(song, artist, settings.split_by),
        title=str(description.get("song", name)),
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
    """Return a stem's files as they are named on disk, where they are there."""
    place = folder / stem["stemName"]
    files = (f"{item['id']}.{str(item['extension']).lstrip('.')}" for item in stem["tracks"])
    return [find_named(place / file) for file in files]


def _named(description: dict[str, Any], folder: Path) -> list[Path]:
    return [file for stem in description["stems"] for file in _sources(stem, folder)]


def assign_splits(tracks: list[Track]) -> list[Track]:
    """Keep the splits by hash: MoisesDB has no official ones."""
    return tracks
