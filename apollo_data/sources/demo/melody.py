"""What the melody instruments play: a singer with a choir behind, and a wind."""

import math

import numpy as np

from apollo_data.sources.demo.composition import Section, Song
from apollo_data.sources.demo.notes import Note, Part
from apollo_data.sources.demo.voice import CONSONANTS, VOWELS

_RHYTHMS = (
    (1.0, 1.0, 1.0, 1.0), (1.5, 0.5, 1.0, 1.0), (0.5, 0.5, 1.0, 0.5, 0.5, 1.0), (2.0, 1.0, 1.0),
    (1.0, 0.5, 0.5, 2.0), (1.5, 1.5, 1.0), (0.5, 1.0, 0.5, 2.0),
)  # fmt: skip
_LONG_RHYTHMS = ((2.0, 2.0), (3.0, 1.0), (4.0,), (2.0, 1.0, 1.0), (1.5, 2.5))
# A melody must sound for 4 s without a breath somewhere.
_PHRASE_SECONDS = 4.8


def vocals(song: Song, rng: np.random.Generator, low: int, high: int) -> list[Part]:
    """Return the lead within [low, high], and a choir that joins it in the choruses."""
    lead, back = Part("vocals", "lead"), Part("vocals", "background")
    consonants = rng.choice(CONSONANTS, 9)
    syllables = [f"{c}:{rng.choice(list(VOWELS))}" for c in consonants]
    vowel = "ao"[int(rng.integers(2))]
    for section, line in _lines(song, rng, "vocals", _RHYTHMS, low, high):
        words = rng.permutation(len(syllables))
        for index, (beat, beats, pitch, starts) in enumerate(line):
            if starts:
                early = 0.34 / song.beat_seconds
                if beat - early > section.start_beat:
                    lead.notes.append(Note(beat - early, early, 60.0, 1.0, "breath"))
            sound = f"lead:{syllables[words[index % len(words)]]}"
            lead.notes.append(Note(beat, beats, pitch, rng.uniform(0.8, 1.0), sound))
        if section.intensity > 0.9:
            back.notes += _choir(section, low, vowel)
    return [lead, back]


def _choir(section: Section, low: int, vowel: str) -> list[Note]:
    notes = []
    for index, chord in enumerate(section.chords):
        for beat in (section.start_beat + 4 * index, section.start_beat + 4 * index + 2):
            beats = min(2, section.end_beat - beat)
            for tone, pan in zip(chord.tones[:3], (-0.6, 0.6, 0.0), strict=True):
                if beats > 0:
                    pitch = low + (tone - low) % 12
                    notes.append(Note(beat, beats, pitch, 0.5, f"back::{vowel}", pan))
    return notes


def wind(song: Song, rng: np.random.Generator, low: int, high: int) -> list[Part]:
    """Return a slower line within [low, high]."""
    part = Part("wind", "wind")
    for _, line in _lines(song, rng, "wind", _LONG_RHYTHMS, low, high):
        part.notes += [Note(b, n, p, rng.uniform(0.85, 1.0), "tone", 0.3) for b, n, p, _ in line]
    return [part]


def _lines(
    song: Song,
    rng: np.random.Generator,
    stem_class: str,
    rhythms: tuple[tuple[float, ...], ...],
    low: int,
    high: int,
) -> list[tuple[Section, list[tuple[float, float, float, bool]]]]:
    """Return the line of each section: (beat, beats, pitch, whether a phrase starts).

    Sections of the same name get the same rhythm and the same contour, sung over their own
    chords: that is what makes a tune recognisable.
    """
    motifs: dict[str, tuple[list[float], np.ndarray]] = {}
    lines = []
    for section in song.sections:
        if stem_class not in section.classes:
            continue
        if section.name not in motifs:
            cells = [rhythms[int(i)] for i in rng.integers(len(rhythms), size=2)]
            rhythm = [beats for cell in (cells[0], cells[1], cells[0]) for beats in cell]
            motifs[section.name] = rhythm, rng.integers(-2, 3, size=12)
        rhythm, contour = motifs[section.name]
        lines.append((section, _line(song, section, rhythm, contour, (low, high))))
    return lines


def _line(
    song: Song, section: Section, rhythm: list[float], contour: np.ndarray, within: tuple[int, int]
) -> list[tuple[float, float, float, bool]]:
    scale = [p for p in range(within[0], within[1] + 1) if p % 12 in song.scale]
    phrase_beats = max(7.0, math.ceil(_PHRASE_SECONDS / song.beat_seconds))
    breath_beats = 1.0 if section.intensity > 0.9 else 2.0
    line, beat, index, step = [], float(section.start_beat), 0, len(scale) // 2
    phrase_start = beat
    while beat < section.end_beat - 0.25:
        if beat - phrase_start >= phrase_beats and section.end_beat - beat > breath_beats + 1.0:
            beat = phrase_start = math.ceil(beat + breath_beats)
        beats = min(rhythm[index % len(rhythm)], section.end_beat - beat)
        step += int(contour[index % len(contour)])
        # Fold the contour back at the edges of the range rather than stick there.
        step = abs(step) if step < 0 else min(step, 2 * (len(scale) - 1) - step)
        pitch = scale[int(np.clip(step, 0, len(scale) - 1))]
        if beats >= 1.0:
            tones = song.chord_at(beat).tones
            pitch = min((p for p in scale if p % 12 in tones), key=lambda p: abs(p - pitch))
        line.append((beat, beats, float(pitch), beat == phrase_start))
        beat += beats
        index += 1
    return line
