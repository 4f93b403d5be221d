"""Catalogs without sound, for tests of what is drawn from them."""

from apollo_data.mixing import MixPool
from apollo_data.records import (
    SPLITS,
    STEM_CLASSES,
    ActiveSpan,
    Mixture,
    Stem,
    StemActivity,
    Track,
)
from apollo_data.settings import Settings

SECONDS = 60.0
SPANS = (ActiveSpan(5.0, 25.0), ActiveSpan(30.0, 31.0), ActiveSpan(40.0, 55.0))


def library(songs: int = 30) -> tuple[list[Track], list[StemActivity]]:
    """Songs with all stems in every split, as a catalog and a detector would describe them."""
    tracks, activities = [], []
    for number in range(songs):
        song, split = f"song{number:02d}", SPLITS[number % 3]
        track, heard = described_song(song, split, STEM_CLASSES)
        tracks.append(track)
        activities += heard
    return tracks, activities


def described_song(
    song: str, split: str, classes: tuple[str, ...]
) -> tuple[Track, list[StemActivity]]:
    """One song with these stems, all active in `SPANS`."""
    stems = tuple(Stem(name, f"{song}/{name}.wav", SECONDS, 44100, 2) for name in classes)
    mixture = Mixture(f"{song}/mixture.wav", SECONDS)
    heard = [
        StemActivity(song, split, stem.stem_class, stem.path, 1, SECONDS, SPANS, "energy")
        for stem in stems
    ]
    return Track(song, "test", split, song, "", stems, mixture), heard


def pool(split: str, settings: Settings, songs: int = 30) -> MixPool:
    """The pool of one split of `library`."""
    return MixPool(*library(songs), split, settings.for_plan())
