"""MUSDB18-HQ: `{train,test}/{Artist - Title}/{mixture,drums,bass,other,vocals}.wav`."""

import dataclasses
from pathlib import Path

from apollo_data.random_streams import stable_fraction
from apollo_data.records import Rejection, Track
from apollo_data.settings import CatalogSettings
from apollo_data.settings import facts as committed
from apollo_data.sources.artists import split_of
from apollo_data.sources.song import (
    Look,
    describe_stem,
    find_audio,
    mixture_of,
    reject,
    reject_unnamed,
    reject_unusable,
    relative_to,
)

NAME = "musdb18hq"
_VALID_SHARE = 0.1


def is_song(folder: Path) -> bool:
    """Tell whether a folder holds a song in this layout: a mixture, with stems or alone."""
    return find_audio(folder, "mixture") is not None


def read_song(
    folder: Path, root: Path, settings: CatalogSettings, look: Look
) -> tuple[Track | None, list[Rejection]]:
    """Read one song; what is missing or unreadable is rejected, the rest is kept.

    A song without any stem is meant to be whole, and misses nothing.
    """
    found = {name: find_audio(folder, name) for name in ("mixture", *committed.stem_map(NAME))}
    named = [file for file in found.values() if file]
    rejections = [
        *reject_unnamed(folder, root, named, "is not one of this layout's"),
        *reject_unusable(named, root, look),
    ]
    refused = {row.path for row in rejections}
    usable = {
        n: file for n, file in found.items() if file and relative_to(file, root) not in refused
    }
    mixture = mixture_of([usable["mixture"]], root, look) if "mixture" in usable else None
    is_whole = len(named) == 1
    if not is_whole:
        missing = [folder / f"{name}.wav" for name, file in found.items() if file is None]
        rejections += [reject(file, root, "no such file") for file in missing]
    stems = [
        describe_stem(stem_class, [usable[name]], root, look)
        for name, stem_class in committed.stem_map(NAME).items()
        if name in usable
    ]
    if not stems and not (is_whole and mixture):
        return None, rejections
    artist, _, title = folder.name.partition(" - ")
    artist = artist if title else ""
    song = f"{NAME}/{folder.name}"
    track = Track(
        song=song,
        source=NAME,
        split=_folder_split(folder, root) or split_of(song, artist, settings.split_by),
        title=title or folder.name,
        artist=artist,
        stems=tuple(stems),
        mixture=mixture,
    )
    return track, rejections


def _folder_split(folder: Path, root: Path) -> str | None:
    """Return the split that the nearest `train` or `test` folder names, or None."""
    for part in reversed((root.name, *Path(relative_to(folder, root)).parts[:-1])):
        if part in ("train", "test"):
            return part
    return None


def assign_splits(tracks: list[Track]) -> list[Track]:
    """Move the validation songs out of the training split.

    They are MUSDB18-HQ's own 14 or, in a tree that has none of them, the tenth of the
    training songs with the smallest hashes by threshold, at least one where there are two.
    """
    training = [track.song for track in tracks if track.split == "train"]
    titles = committed.official_songs(NAME, "valid")
    valid = {song for song in training if song.removeprefix(f"{NAME}/") in titles}
    if not valid and not any(track.split == "valid" for track in tracks):
        valid = {song for song in training if stable_fraction(song) < _VALID_SHARE}
        if not valid and len(training) >= 2:
            valid = {min(training, key=stable_fraction)}
    return [
        dataclasses.replace(track, split="valid") if track.song in valid else track
        for track in tracks
    ]
