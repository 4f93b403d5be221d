"""MoisesDB: `{song uuid}/data.json`, audio at `{song uuid}/{stemName}/{track id}.{extension}`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from apollo_data.errors import AudioError
from apollo_data.records import Rejection, Stem, Track
from apollo_data.settings import CatalogSettings
from apollo_data.sources import reference
from apollo_data.sources.song import describe_stem, mixture_of, reject, split_by_hash

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
    folder: Path, root: Path, settings: CatalogSettings
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
    stems: list[Stem] = []
    for stem_class, found in described.items():
        try:
            stem = describe_stem(stem_class, found.files, root)
            stems.append(dataclasses.replace(stem, has_bleed=found.has_bleed))
        except AudioError as error:
            rejections.append(reject(folder / found.files[0].parent.name, root, str(error)))
    if not stems:
        return None, rejections
    song = f"{NAME}/{folder.name}"
    kept = {stem.stem_class for stem in stems}
    whole = [file for name, found in described.items() if name in kept for file in found.files]
    track = Track(
        song=song,
        source=NAME,
        split=split_by_hash(song),
        title=str(description.get("song", folder.name)),
        artist=str(description.get("artist", "")),
        stems=tuple(stems),
        mixture=None if rejections else mixture_of(whole, root),
    )
    return track, rejections


@dataclasses.dataclass
class _DescribedStem:
    """What data.json says of one stem class."""

    files: list[Path]
    has_bleed: bool


def _read_stems(
    description: dict[str, Any], folder: Path, root: Path, settings: CatalogSettings
) -> tuple[dict[str, _DescribedStem], list[Rejection]]:
    """Return what is there of each stem class, and what data.json names but cannot be used."""
    classes = reference.stem_map(NAME)
    described: dict[str, _DescribedStem] = {}
    rejections: list[Rejection] = []
    for stem in description["stems"]:
        name = stem["stemName"]
        has_bleed = any(item.get("has_bleed") for item in stem["tracks"])
        files = [folder / name / f"{item['id']}.{item['extension']}" for item in stem["tracks"]]
        if name not in classes:
            rejections.append(reject(folder / name, root, f"unknown stem {name!r}"))
        elif missing := [file for file in files if not file.is_file()]:
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


def assign_splits(tracks: list[Track]) -> list[Track]:
    """Keep the splits by hash: MoisesDB has no official ones."""
    return tracks
