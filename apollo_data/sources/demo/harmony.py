"""What the chordal instruments play: guitars, piano, keys, pads, strings, plucked arpeggios."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from apollo_data.sources.demo.composition import BEATS_A_BAR, Chord, Section, Song
from apollo_data.sources.demo.notes import Note, Part

# Onset in beats, and whether the pick goes down.
_STRUMS = (
    ((0.0, True), (1.0, True), (1.5, False), (2.5, False), (3.0, True), (3.5, False)),
    ((0.0, True), (0.5, False), (1.0, True), (1.5, False), (2.0, True), (3.0, True), (3.5, False)),
    ((0.0, True), (1.0, True), (2.0, True), (3.0, True), (3.5, False)),
    ((0.0, True), (1.5, True), (2.0, False), (3.0, True)),
)
_COMPS = ((0.0, 1.0, 2.0, 3.0), (0.0, 1.5, 2.0, 3.5), (0.0, 0.5, 1.5, 2.0, 3.0), (0.0, 2.0))


@dataclass(frozen=True)
class Bar:
    """One bar, or the start of one: where it lies, and the chord voiced for an instrument."""

    section: Section
    beat: int
    beats: int
    chord: Chord
    pitches: tuple[int, ...]

    def spans(self, onsets: tuple[float, ...]) -> Iterator[tuple[float, float]]:
        """Yield (beat, beats) of notes at `onsets`, each held until the next one."""
        for onset, end in zip(onsets, (*onsets[1:], BEATS_A_BAR), strict=True):
            if onset < self.beats:
                yield self.beat + onset, min(end, self.beats) - onset


@lru_cache(maxsize=4096)
def voicing(
    chord: Chord, low: int, high: int, size: int, previous: tuple[int, ...]
) -> tuple[int, ...]:
    """Return `size` pitches of the chord in [low, high] that move least from `previous`.

    The choice is among all close positions, and those with the second tone left out.
    """
    pitches = tuple(pitch for pitch in range(low, high + 1) if pitch % 12 in chord.tones)
    close = [pitches[first : first + size] for first in range(len(pitches) - size + 1)]
    wide = [
        (pitches[first], *pitches[first + 2 : first + size + 1])
        for first in range(len(pitches) - size)
    ]
    centre = (low + high) / 2

    def cost(candidate: tuple[int, ...]) -> float:
        missing = len(set(chord.tones[:3]) - {pitch % 12 for pitch in candidate})
        clashes = sum(b - a < 3 for a, b in itertools.pairwise(candidate))
        drift = abs(sum(candidate) / size - centre)
        moved = sum(abs(a - b) for a, b in zip(candidate, previous, strict=False))
        return moved + 12.0 * missing + 2.0 * clashes + 0.4 * drift

    return min(close + wide, key=cost)


def bars(song: Song, stem_class: str, low: int, high: int, size: int) -> Iterator[Bar]:
    """Yield the bars in which a class plays, the voices led from chord to chord."""
    previous: tuple[int, ...] = ()
    for section in song.sections:
        if stem_class in section.classes:
            for index, chord in enumerate(section.chords):
                start = index * BEATS_A_BAR
                previous = voicing(chord, low, high, size, previous)
                length = min(BEATS_A_BAR, section.beats - start)
                yield Bar(section, section.start_beat + start, length, chord, previous)


def guitar(song: Song, rng: np.random.Generator) -> list[Part]:
    """Return two takes of the rhythm guitar, left and right, of the same strums."""
    takes = [Part("guitar", "left"), Part("guitar", "right")]
    verse, chorus = (_STRUMS[int(i)] for i in rng.integers(len(_STRUMS), size=2))
    picks = rng.random() < 0.35
    for bar in bars(song, "guitar", 43, 67, 4):
        loud = bar.section.intensity > 0.9
        for take, pan in zip(takes, (-0.7, 0.7), strict=True):
            if picks and not loud:
                take.notes += _picked(bar, pan, rng)
                continue
            strum = chorus if loud else verse
            spans = bar.spans(tuple(onset for onset, _ in strum))
            for (beat, beats), (_, down) in zip(spans, strum, strict=False):
                take.notes += _strummed(bar.pitches, beat, beats, down, pan, rng)
    return takes


def _strummed(
    pitches: tuple[int, ...],
    beat: float,
    beats: float,
    down: bool,
    pan: float,
    rng: np.random.Generator,
) -> list[Note]:
    spread = rng.uniform(0.007, 0.013)
    strings = pitches if down else pitches[:0:-1]
    velocity = 1.0 if down else 0.75
    return [
        Note(beat, beats, pitch, velocity, "string", pan, index * spread)
        for index, pitch in enumerate(strings)
    ]


def _picked(bar: Bar, pan: float, rng: np.random.Generator) -> list[Note]:
    """Return an arpeggio in eighths whose strings ring to the end of the bar."""
    notes = []
    for index in range(2 * bar.beats):
        pitch = bar.pitches[(0, 2, 1, 3, 2, 1, 3, 1)[index % 8]]
        held = bar.beats - index / 2
        notes.append(Note(bar.beat + index / 2, held, pitch, rng.uniform(0.8, 1.0), "string", pan))
    return notes


def piano(song: Song, rng: np.random.Generator) -> list[Part]:
    """Return the piano: chords or broken chords over octaves in the left hand."""
    part = Part("piano", "piano")
    broken = rng.random() < 0.5
    comp = _COMPS[int(rng.integers(len(_COMPS)))]
    for bar in bars(song, "piano", 55, 77, 4):
        loud = bar.section.intensity > 0.9
        root = 36 + (bar.chord.root - 36) % 12
        for beat, beats in bar.spans((0.0, 2.0)):
            left = (root, root + 12) if loud else (root,)
            part.notes += [Note(beat, beats, pitch, 0.85, "key", -0.3) for pitch in left]
        if broken and not loud:
            for beat, beats in bar.spans(tuple(np.arange(0.0, 4.0, 0.5).tolist())):
                index = round((beat - bar.beat) * 2) % 6
                pitch = bar.pitches[(0, 1, 2, 3, 2, 1)[index]]
                velocity = rng.uniform(0.75, 0.95)
                part.notes.append(Note(beat, max(beats, 1.0), pitch, velocity, "key", 0.25))
            continue
        for beat, beats in bar.spans(comp):
            velocity = (1.0 if loud else 0.8) * rng.uniform(0.9, 1.0)
            part.notes += [Note(beat, beats, p, velocity, "key", 0.25) for p in bar.pitches]
    return [part]


def other_keys(song: Song, rng: np.random.Generator) -> list[Part]:
    """Return the organ or electric piano: held chords, and off-beat stabs in choruses."""
    part = Part("other_keys", "keys")
    onsets = ((0.0,), (0.0, 2.0), (0.0, 1.5, 3.0), (0.0, 0.5, 1.5, 2.5, 3.5))
    verse, chorus = (onsets[int(i)] for i in rng.integers(len(onsets), size=2))
    for bar in bars(song, "other_keys", 52, 76, 3):
        for beat, beats in bar.spans(chorus if bar.section.intensity > 0.9 else verse):
            part.notes += [
                Note(beat, beats, pitch, rng.uniform(0.85, 1.0), "key", -0.2)
                for pitch in bar.pitches
            ]
    return [part]


def other(song: Song, rng: np.random.Generator) -> list[Part]:
    """Return the pad: one chord a bar."""
    part = Part("other", "pad")
    for bar in bars(song, "other", 48, 74, 4):
        part.notes += [Note(bar.beat, bar.beats, pitch, 0.95, "key") for pitch in bar.pitches]
    return [part]


def bowed_strings(song: Song, rng: np.random.Generator) -> list[Part]:
    """Return violins in two parts that move in half notes, over cellos on the roots."""
    part = Part("bowed_strings", "strings")
    moves = rng.random() < 0.6
    for bar in bars(song, "bowed_strings", 62, 86, 2):
        for beat, beats in bar.spans((0.0, 2.0) if moves else (0.0,)):
            turn = 0 if beat == bar.beat else 1
            for index, pitch in enumerate(bar.pitches):
                moved = _neighbour(bar.chord, pitch, turn * (1 if index else -1))
                velocity = rng.uniform(0.85, 1.0)
                part.notes.append(Note(beat, beats, moved, velocity, "violins", 0.25))
        root = 38 + (bar.chord.root - 38) % 12
        part.notes.append(Note(bar.beat, bar.beats, root, 0.9, "cellos", -0.25))
    return [part]


def _neighbour(chord: Chord, pitch: int, steps: int) -> int:
    """Return the chord's next pitch above (steps 1) or below (-1), or `pitch` itself (0)."""
    while steps:
        pitch += steps
        if pitch % 12 in chord.tones:
            return pitch
    return pitch


def other_plucked(song: Song, rng: np.random.Generator) -> list[Part]:
    """Return arpeggios up and down the chord in eighths or sixteenths."""
    part = Part("other_plucked", "strings")
    step = 0.25 if song.tempo_bpm < 100 and rng.random() < 0.6 else 0.5
    shape = ((0, 1, 2, 3, 4, 3, 2, 1), (4, 3, 2, 1, 0, 1, 2, 3), (0, 2, 1, 3, 2, 4, 3, 1))
    order = shape[int(rng.integers(len(shape)))]
    for bar in bars(song, "other_plucked", 60, 84, 5):
        for index in range(round(bar.beats / step)):
            pitch = bar.pitches[order[index % 8]]
            beat = bar.beat + index * step
            held = min(1.5, bar.beat + bar.beats - beat)
            velocity = 1.0 if index % 4 == 0 else rng.uniform(0.7, 0.85)
            part.notes.append(Note(beat, held, pitch, velocity, "string", rng.uniform(0.1, 0.5)))
    return [part]
