"""Invented artists, titles and ids, chosen so that a catalog puts each song into its split."""

import itertools
import uuid
from dataclasses import dataclass

import numpy as np

from apollo_data.random_streams import generator, stable_fraction
from apollo_data.sources.artists import split_of

MUSDB18HQ, MOISESDB = "musdb18hq", "moisesdb"
GENRES = ("pop", "rock", "singer/songwriter", "electronic", "country", "jazz", "reggae", "blues")

_FIRST = (
    "Velvet", "Paper", "Northern", "Silent", "Copper", "Midnight", "Hollow", "Électrique",
    "Golden", "Wandering", "Glass", "Autumn", "Crooked", "Harbour", "Lunar", "Marble",
)  # fmt: skip
_SECOND = (
    "Foxes", "Lanterns", "Øya", "Signals", "Orchard", "Machines", "Parade", "Tides",
    "Engineers", "Meridian", "Sparrows", "Café", "Cartographers", "Avenue", "Giants", "Choir",
)  # fmt: skip
_PEOPLE = ("Nora Lindqvist", "Tomás Rey", "Ada & The Ohms", "J. O'Leary", "Mira Sound", "Kofi Blue")
_OPENINGS = (
    "Don't Wait For", "The Colour Of", "Letters To", "Running From", "Under", "Every", "Before",
    "Half Of", "Somebody's", "A Song For", "Back To", "No More", "Beyond", "Inside", "Waking",
)  # fmt: skip
_CLOSINGS = (
    "Winter", "The Signal", "Rain & Rust", "Home", "Yesterday", "The Tide", "Neón", "Summer Glass",
    "A Quiet Street", "The Machine", "Your Shadow", "Gravity", "Paper Boats", "The Morning",
    "Silver Lines", "Nowhere", "The Hill", "Satellites",
)  # fmt: skip


@dataclass(frozen=True)
class SongName:
    """Who made a song, what it is called, and where its layout keeps it."""

    artist: str
    title: str
    split: str
    folder: str


def musdb18hq_split(index: int) -> str:
    """Return "train", "valid" or "test": 30 % are test songs and the third other one is valid."""
    if index % 10 in (1, 4, 7):
        return "test"
    return "valid" if index == 3 else "train"


def moisesdb_split(index: int) -> str:
    """Return "train", "valid" or "test", of which the last two get 20 % each."""
    return {1: "test", 2: "valid"}.get(index % 5, "train")


def name_songs(layout: str, songs: int, seed: int) -> list[SongName]:
    """Name the first `songs` songs of a layout.

    A song's name does not depend on how many follow it. No artist has songs in two splits.
    """
    named: list[SongName] = []
    split_of: dict[str, str] = {}
    for index in range(songs):
        split = musdb18hq_split(index) if layout == MUSDB18HQ else moisesdb_split(index)
        rng = generator(seed, f"demo/{layout}/name", index)
        taken = {(song.artist, song.title) for song in named}
        while True:
            artist = _artist(rng, layout)
            title = f"{_pick(rng, _OPENINGS)} {_pick(rng, _CLOSINGS)}"
            if (artist, title) in taken or split_of.get(artist, split) != split:
                continue
            if _is_split(layout, artist, title, split):
                break
        split_of[artist] = split
        if layout == MUSDB18HQ:
            half = "test" if split == "test" else "train"
            folder = f"{MUSDB18HQ}/{half}/{artist} - {title}"
        else:
            folder = f"{MOISESDB}/moisesdb_v0.1/{_song_uuid(split, seed, index)}"
        named.append(SongName(artist, title, split, folder))
    return named


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def _artist(rng: np.random.Generator, layout: str) -> str:
    """Return an artist; the two layouts share none, so that neither leaks into the other."""
    half = (MUSDB18HQ, MOISESDB).index(layout)
    if rng.random() < 0.2:
        return _pick(rng, _PEOPLE[half::2])
    return f"{_pick(rng, _FIRST)} {_pick(rng, _SECOND[half::2])}"


def _is_split(layout: str, artist: str, title: str, split: str) -> bool:
    """Tell whether a catalog puts a song where `split` wants it.

    MoisesDB's songs are split by a hash of the artist. Of MUSDB18-HQ's, the test songs are
    those in the folder test; of the others a hash of the song takes a tenth to validate.
    """
    if layout == MOISESDB:
        return split_of("", artist, "artist") == split
    fraction = stable_fraction(f"{MUSDB18HQ}/{artist} - {title}")
    return split == "test" or (fraction < 0.1) == (split == "valid")


def _song_uuid(split: str, seed: int, index: int) -> str:
    """Return the first id of the song that a catalog's hash puts into `split`."""
    low, high = {"train": (0.0, 0.8), "valid": (0.8, 0.9), "test": (0.9, 1.0)}[split]
    for counter in itertools.count():
        name = str(named_uuid("song", seed, index, counter))
        if low <= stable_fraction(f"{MOISESDB}/{name}") < high:
            break
    return name


def named_uuid(*parts: object) -> uuid.UUID:
    """Return the id that always belongs to `parts`."""
    return uuid.uuid5(uuid.NAMESPACE_URL, "apollo-toolkit/demo/" + "/".join(map(str, parts)))
