"""MUSDB18-HQ: `{train,test}/{Artist - Title}/{mixture,drums,bass,other,vocals}.wav`.

A song of the user's own in this layout may have any of the five files, at least one.
"""

import dataclasses
from pathlib import Path

from apollo_data.file_names import normal_form
from apollo_data.random_streams import stable_fraction
from apollo_data.records import Rejection, Track
from apollo_data.settings import CatalogSettings
from apollo_data.settings import facts as committed
from apollo_data.sources.artists import split_of
from apollo_data.sources.audio_names import audio_named
from apollo_data.sources.song import (
    Look,
    describe_stem,
    mixture_of,
    reject,
    reject_unnamed,
    reject_unusable,
)
from apollo_data.sources.split_folders import folder_split

NAME = "musdb18hq"
_VALID_SHARE = 0.1


def is_song(folder: Path) -> bool:
    """Tell whether a folder holds a song in this layout: a mixture or any of its stems."""
    return bool(audio_named(folder, _part_names()))


def _part_names() -> tuple[str, ...]:
    return ("mixture", *committed.stem_map(NAME))


def missing_parts(folder: Path) -> tuple[str, ...]:
    """Return which of the five files a song's folder does not have, by name."""
    found = audio_named(folder, _part_names())
    return tuple(name for name in _part_names() if name not in found)


def read_song(
    folder: Path, root: Path, settings: CatalogSettings, look: Look
) -> tuple[Track | None, list[Rejection]]:
    """Read one song; what cannot be read is rejected, the rest is kept.

    A missing file is rejected too where the song is one of MUSDB18-HQ's own, which have all five.
    """
    found = audio_named(folder, _part_names())
    name = normal_form(folder.resolve().name if folder == root else folder.name)
    rejections = [
        *reject_unnamed(folder, root, found.values(), "is not one of this layout's"),
        *reject_unusable(found.values(), root, look),
    ]
    refused = {row.path for row in rejections}
    usable = {
        part: file for part, file in found.items() if reject(file, root, "").path not in refused
    }
    if name in committed.official_names(NAME):
        missing = (folder / f"{part}.wav" for part in _part_names() if part not in found)
        rejections += [reject(file, root, "no such file") for file in missing]
    mixture = mixture_of([usable["mixture"]], root, look) if "mixture" in usable else None
    stems = [
        describe_stem(stem_class, [usable[part]], root, look)
        for part, stem_class in committed.stem_map(NAME).items()
        if part in usable
    ]
    if not stems and (mixture is None or found.keys() != {"mixture"}):
        return None, rejections
    artist, _, title = name.partition(" - ")
    artist = artist if title else ""
    song = f"{NAME}/{name}"
    track = Track(
        song=song,
        source=NAME,
        split=folder_split(folder, root) or split_of(song, artist, settings.split_by),
        title=title or name,
        artist=artist,
        stems=tuple(stems),
        mixture=mixture,
    )
    return track, rejections


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
