"""What a demo song is before anyone plays it: key, tempo, chords, sections and their players."""

import math
from dataclasses import dataclass

import numpy as np

from apollo_data.random_streams import generator
from apollo_data.records import STEM_CLASSES

BEATS_A_BAR = 4
NOTE_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}

# Scale degrees from 0, one chord a bar.
PROGRESSIONS = {
    "major": (
        (0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4), (0, 3, 4, 4), (1, 4, 0, 5),
        (0, 2, 3, 4), (3, 4, 2, 5), (0, 4, 5, 2, 3, 0, 3, 4),
    ),
    "minor": (
        (0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 6), (0, 5, 3, 4), (5, 6, 0, 0), (0, 2, 6, 3),
    ),
    "dorian": ((0, 3, 0, 3), (0, 2, 3, 0), (0, 6, 3, 0), (0, 1, 2, 3)),
    "mixolydian": ((0, 6, 3, 0), (0, 3, 6, 3), (0, 4, 6, 3), (0, 6, 0, 4)),
}  # fmt: skip

KIT = ("drums", "percussion")
BAND = ("guitar", "piano", "bowed_strings", "wind", "other_keys", "other_plucked", "other")
"""The classes that MUSDB18-HQ's layout sums into its stem `other`."""

# A rest is a whole section, long enough for the tails before it to die and leave 1 s of silence.
_REST_SECONDS = 1.65
# Somewhere every class plays through without a gap for 4 s; this is a little more.
_STRETCH_SECONDS = 4.7
_SHORT_SECONDS = 12.0

# How likely a class is to play in a section.
_LIKELY = {
    "verse": {"vocals": 0.95, "bass": 0.9, "drums": 0.9, "percussion": 0.5},
    "chorus": {"vocals": 1.0, "bass": 1.0, "drums": 1.0, "percussion": 0.8},
    "bridge": {"vocals": 0.45, "bass": 0.5, "drums": 0.35, "percussion": 0.5},
}
_LIKELY_OTHERS = {"verse": 0.5, "chorus": 0.7, "bridge": 0.5}


@dataclass(frozen=True)
class SongId:
    """The one thing that a song depends on besides its length."""

    layout: str
    seed: int
    index: int

    def rng(self, stage: str) -> np.random.Generator:
        """Return the generator of one stage of the song's making."""
        return generator(self.seed, f"demo/{self.layout}/{stage}", self.index)


@dataclass(frozen=True)
class Chord:
    """One chord: its root's pitch class and all its pitch classes, root first."""

    root: int
    tones: tuple[int, ...]


@dataclass(frozen=True)
class Section:
    """A stretch of the song with one texture; `chords` holds one chord for every bar begun."""

    name: str
    start_beat: int
    beats: int
    intensity: float
    classes: frozenset[str]
    chords: tuple[Chord, ...]

    @property
    def end_beat(self) -> int:
        """The beat at which the next section starts."""
        return self.start_beat + self.beats


@dataclass(frozen=True)
class Song:
    """A whole composition; beats count from the start of the song."""

    seconds: float
    tempo_bpm: float
    tonic: int
    mode: str
    tuning_semitones: float
    swing: float
    sections: tuple[Section, ...]

    @property
    def beat_seconds(self) -> float:
        """Length of one beat."""
        return 60.0 / self.tempo_bpm

    @property
    def key(self) -> str:
        """The key's name, as in "F# minor"."""
        return f"{NOTE_NAMES[self.tonic]} {self.mode}"

    @property
    def scale(self) -> tuple[int, ...]:
        """Pitch classes of the key, from the tonic."""
        return tuple((self.tonic + step) % 12 for step in MODES[self.mode])

    def section_at(self, beat: float) -> Section:
        """Return the section that `beat` lies in; the last one where the song is over."""
        return next((s for s in self.sections if beat < s.end_beat), self.sections[-1])

    def chord_at(self, beat: float) -> Chord:
        """Return the chord that sounds at `beat`."""
        section = self.section_at(beat)
        bar = int(beat - section.start_beat) // BEATS_A_BAR
        return section.chords[min(max(bar, 0), len(section.chords) - 1)]

    def blocks(self, stem_class: str) -> list[tuple[int, int]]:
        """Return the (first, last) beats of the stretches in which a class plays, merged."""
        merged: list[tuple[int, int]] = []
        for section in self.sections:
            if stem_class not in section.classes:
                continue
            if merged and merged[-1][1] == section.start_beat:
                merged[-1] = (merged[-1][0], section.end_beat)
            else:
                merged.append((section.start_beat, section.end_beat))
        return merged


def compose(rng: np.random.Generator, seconds: float) -> Song:
    """Draw a song of `seconds`.

    Every class plays in the last chorus and rests in at least one section; so do the classes
    together that MUSDB18-HQ's layout sums into one stem.
    """
    # Short songs are fast ones, so that a rest, a chorus and a rest fit.
    tempo_bpm = float(rng.integers(72 if seconds >= _SHORT_SECONDS else 100, 141))
    mode = str(rng.choice(list(MODES), p=(0.42, 0.36, 0.12, 0.10)))
    tonic = int(rng.integers(12))
    form = _form(rng, seconds, 60.0 / tempo_bpm)
    players = _players(rng, [name for name, _ in form])
    sevenths = rng.random() < 0.35
    chords_of = {
        name: _chords(rng, tonic, mode, sevenths) for name in ("verse", "chorus", "bridge")
    }
    sections, beat = [], 0
    for (name, beats), classes in zip(form, players, strict=True):
        progression = chords_of.get(name, chords_of["verse"])
        bars = -(-beats // BEATS_A_BAR)
        chords = tuple(progression[bar % len(progression)] for bar in range(bars))
        intensity = {"intro": 0.55, "verse": 0.65, "chorus": 1.0, "bridge": 0.6, "outro": 0.6}[name]
        sections.append(Section(name, beat, beats, intensity, classes, chords))
        beat += beats
    tuning = float(rng.normal(0.0, 0.06))
    swing = float(rng.choice([0.0, 0.0, 0.0, 0.08, 0.16]))
    return Song(seconds, tempo_bpm, tonic, mode, tuning, swing, tuple(sections))


def _form(rng: np.random.Generator, seconds: float, beat_seconds: float) -> list[tuple[str, int]]:
    """Return the sections' names and lengths in beats; they fill the song but for a tail."""
    beats = int((seconds - 0.35) / beat_seconds)
    rest = math.ceil(_REST_SECONDS / beat_seconds)
    stretch = math.ceil(_STRETCH_SECONDS / beat_seconds)
    edge = rest
    for longer in (4, 8, 16):
        if longer >= rest and beats >= 7 * longer:
            edge = longer
    body = beats - 2 * edge
    unit = next((size for size in (32, 16, 8) if size >= stretch and body >= 4 * size), None)
    unit = unit or next((size for size in (8, 12, 16) if size >= stretch), stretch)
    count = max(1, body // unit)
    cycle = ("verse", "chorus", "verse", "chorus", "bridge", "chorus")
    names = {1: ("chorus",), 2: ("verse", "chorus"), 3: ("verse", "bridge", "chorus")}.get(count)
    if names is None:
        names = (*(cycle[i % 6] for i in range(count - 2)), "bridge", "chorus")
        if rng.random() < 0.5:
            names = (*names[:-2], "verse", "chorus")
    lengths = [unit] * count
    lengths[-1] += body - unit * count
    return [("intro", edge), *zip(names, lengths, strict=True), ("outro", edge)]


def _players(rng: np.random.Generator, names: list[str]) -> list[frozenset[str]]:
    """Draw who plays in each section."""
    last_chorus = len(names) - 1 - names[::-1].index("chorus")
    kit_opens = bool(rng.random() < 0.5)
    players = []
    for index, name in enumerate(names):
        if index == last_chorus:
            players.append(frozenset(STEM_CLASSES))
        elif name in ("intro", "outro"):
            players.append(_edge_players(rng, kit_opens == (name == "intro"), name == "outro"))
        else:
            likely = _LIKELY[name]
            drawn = {c for c in STEM_CLASSES if rng.random() < likely.get(c, _LIKELY_OTHERS[name])}
            drawn |= {str(c) for c in rng.choice(BAND, 2, replace=False)}
            players.append(frozenset(drawn))
    return players


def _edge_players(rng: np.random.Generator, kit: bool, may_sing: bool) -> frozenset[str]:
    """Draw who plays in the intro or the outro: the kit with the bass, or some of the band.

    One of the two belongs to the kit and the other to the band, so that both rest once.
    """
    if kit:
        drawn = {"bass", KIT[int(rng.integers(2))]} | {c for c in KIT if rng.random() < 0.6}
        return frozenset(drawn)
    drawn = {str(c) for c in rng.choice(BAND, int(rng.integers(2, 5)), replace=False)}
    return frozenset(drawn | ({"vocals"} if may_sing and rng.random() < 0.4 else set()))


def _chords(rng: np.random.Generator, tonic: int, mode: str, sevenths: bool) -> tuple[Chord, ...]:
    """Draw one of the mode's common progressions."""
    scale = MODES[mode]
    stock = PROGRESSIONS[mode]
    chords = []
    for degree in stock[int(rng.integers(len(stock)))]:
        steps = [0, 2, 4] + ([6] if sevenths and rng.random() < 0.6 else [])
        if rng.random() < 0.08:
            steps[1] = 3 if rng.random() < 0.5 else 1  # suspended
        tones = [(tonic + scale[(degree + step) % 7]) % 12 for step in steps]
        if mode == "minor" and degree == 4 and len(tones) == 3:
            tones[1] = (tonic + 11) % 12  # the leading note of the harmonic minor
        chords.append(Chord(tones[0], tuple(dict.fromkeys(tones))))
    return tuple(chords)
