"""Who plays: for each stem class an instrument, its parts, its level and its distance."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from apollo_data.sources.demo import groove, harmony, melody
from apollo_data.sources.demo.composition import Song, SongId
from apollo_data.sources.demo.drums import DrumKit
from apollo_data.sources.demo.keys import OtherKeys, Piano
from apollo_data.sources.demo.notes import Part
from apollo_data.sources.demo.percussion import HandPercussion
from apollo_data.sources.demo.plucked import BASSES, GUITARS, PLUCKED, PluckedStrings
from apollo_data.sources.demo.signals import Signal
from apollo_data.sources.demo.sustained import BowedEnsemble, Pad, Wind
from apollo_data.sources.demo.voice import Voice

Draw = np.random.Generator


class Instrument(Protocol):
    """What can play a note; notes come at a peak of about 1 and start at their onset.

    `layered` tells whether a hard note sounds different from a soft one, beyond its level.
    """

    release_seconds: float
    layered: bool

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Return a note, (samples,) or (2, samples), that can be held for `seconds`."""


@dataclass(frozen=True)
class Chair:
    """A player's place: the instrument, how loud and how far away it is.

    `variants` is how many different takes of the same note exist, `track_types` are
    MoisesDB's names of what each part's track holds.
    """

    instrument: Instrument
    parts: tuple[Part, ...]
    track_types: tuple[str, ...]
    gain: float
    wet_gain: float
    variants: int = 1


_Seated = tuple[Instrument, list[Part], tuple[str, ...]]

# Level in dB of one note at its loudest, and of the room beside it.
_LEVELS_DB = {
    "vocals": (-4.0, -17.0),
    "bass": (-5.0, -26.0),
    "drums": (-1.0, -20.0),
    "guitar": (-15.0, -18.0),
    "piano": (-12.0, -17.0),
    "percussion": (-5.0, -16.0),
    "bowed_strings": (-8.5, -14.0),
    "wind": (-7.0, -15.0),
    "other_keys": (-13.5, -17.0),
    "other_plucked": (-6.0, -16.0),
    "other": (-10.0, -16.0),
}


def seat(stem_class: str, song: Song, who: SongId) -> Chair:
    """Draw the player of a class for a song, and what it plays."""
    build, rng = who.rng(f"instrument/{stem_class}"), who.rng(f"parts/{stem_class}")
    level_db, wet_db = _LEVELS_DB[stem_class]
    gain = 10.0 ** ((level_db + build.uniform(-1.5, 1.5)) / 20.0)
    wet_gain = 10.0 ** ((wet_db + build.uniform(-2.0, 2.0)) / 20.0)
    instrument, parts, track_types = _PLAYERS[stem_class](song, build, rng)
    variants = 2 if stem_class in ("drums", "percussion") else 1
    return Chair(instrument, tuple(parts), track_types, gain, wet_gain, variants)


def _seat_vocals(song: Song, build: Draw, rng: Draw) -> _Seated:
    high = build.random() < 0.5
    voice = Voice(build, high)
    low = 57 if high else 47
    return voice, melody.vocals(song, rng, low, low + 15), (voice.track_type, "background vocals")


def _seat_drums(song: Song, build: Draw, rng: Draw) -> _Seated:
    types = ("kick drum", "toms", "cymbals")
    return DrumKit(build), groove.drums(song, rng), types


def _seat_percussion(song: Song, build: Draw, rng: Draw) -> _Seated:
    types = ("a-tonal percussion (claps, shakers, congas, cowbell etc)",)
    return HandPercussion(build), groove.percussion(song, rng), types


def _seat_bass(song: Song, build: Draw, rng: Draw) -> _Seated:
    strings = PluckedStrings(build, BASSES, 0.09)
    return strings, groove.bass(song, rng), (strings.track_type,)


def _seat_guitar(song: Song, build: Draw, rng: Draw) -> _Seated:
    strings = PluckedStrings(build, GUITARS, 0.09)
    return strings, harmony.guitar(song, rng), (strings.track_type,) * 2


def _seat_other_plucked(song: Song, build: Draw, rng: Draw) -> _Seated:
    strings = PluckedStrings(build, PLUCKED, 0.15)
    return strings, harmony.other_plucked(song, rng), (strings.track_type,)


def _seat_piano(song: Song, build: Draw, rng: Draw) -> _Seated:
    return Piano(build), harmony.piano(song, rng), (Piano.track_type,)


def _seat_other_keys(song: Song, build: Draw, rng: Draw) -> _Seated:
    keys = OtherKeys(build)
    return keys, harmony.other_keys(song, rng), (keys.track_type,)


def _seat_bowed_strings(song: Song, build: Draw, rng: Draw) -> _Seated:
    return BowedEnsemble(build), harmony.bowed_strings(song, rng), ("string section",)


def _seat_wind(song: Song, build: Draw, rng: Draw) -> _Seated:
    player = Wind(build)
    low = {"flute": 67, "clarinet": 55, "saxophone": 53, "trumpet": 58}[player.kind]
    return player, melody.wind(song, rng, low, low + 17), (player.track_type,)


def _seat_other(song: Song, build: Draw, rng: Draw) -> _Seated:
    return Pad(build), harmony.other(song, rng), (Pad.track_type,)


_PLAYERS: dict[str, Callable[[Song, Draw, Draw], _Seated]] = {
    "vocals": _seat_vocals,
    "bass": _seat_bass,
    "drums": _seat_drums,
    "guitar": _seat_guitar,
    "piano": _seat_piano,
    "percussion": _seat_percussion,
    "bowed_strings": _seat_bowed_strings,
    "wind": _seat_wind,
    "other_keys": _seat_other_keys,
    "other_plucked": _seat_other_plucked,
    "other": _seat_other,
}
