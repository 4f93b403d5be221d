"""What the rhythm section plays: drum kit, hand percussion and bass."""

import numpy as np

from apollo_data.sources.demo.composition import Section, Song
from apollo_data.sources.demo.notes import Note, Part

# Hits on the sixteenths of a bar.
_KICKS = ((0, 8), (0, 8, 10), (0, 4, 8, 12), (0, 6, 10), (0, 3, 8, 11), (0, 7, 8))
_SNARES = ((4, 12), (4, 12), (4, 12), (8,), (4, 12, 15))
# A letter for each sixteenth.
_HAND_PATTERNS = ("l..h..h.l..s..h.", "h...s.ll....s.h.", "b..b..b...c.b...", "c...c...c..hc.l.")
_HAND_SOUNDS = {
    "l": "conga_low",
    "h": "conga_high",
    "s": "conga_slap",
    "b": "block",
    "c": "cowbell",
}
_FILLS = (
    ((0, "tom_high"), (1, "tom_high"), (2, "tom_mid"), (3, "tom_low")),
    ((0, "snare"), (1, "tom_high"), (2, "tom_mid"), (3, "tom_low")),
    ((0, "tom_mid"), (2, "tom_low"), (3, "tom_low")),
)
_PANS = {
    "hat": 0.35, "open_hat": 0.35, "ride": -0.45, "crash": -0.3, "tom_high": 0.4, "tom_mid": 0.0,
    "tom_low": -0.4, "snare": 0.05, "shaker": 0.5, "shaker_back": 0.5, "tambourine": -0.5,
    "conga_low": -0.35, "conga_high": -0.15, "conga_slap": -0.25, "block": 0.25, "cowbell": -0.4,
}  # fmt: skip
_SOURCES = {
    "kick": "kick and snare", "snare": "kick and snare",
    "tom_high": "toms", "tom_mid": "toms", "tom_low": "toms",
}  # fmt: skip


def drums(song: Song, rng: np.random.Generator) -> list[Part]:
    """Return the kit's parts: kick with snare, toms, cymbals."""
    kick, snare = (stock[int(rng.integers(len(stock)))] for stock in (_KICKS, _SNARES))
    steady = "hat" if rng.random() < 0.75 else "ride"
    # Slow songs divide the beat further: their cymbals would leave holes between the hits.
    step = 0.25 if song.tempo_bpm < 92 else 0.5
    parts = {name: Part("drums", name) for name in ("kick and snare", "toms", "cymbals")}

    def hit(beat: float, sound: str, velocity: float, beats: float = 4.0) -> None:
        note = Note(beat, beats, 0.0, velocity, sound, _PANS.get(sound, 0.0))
        parts[_SOURCES.get(sound, "cymbals")].notes.append(note)

    for section in _playing(song, "drums"):
        cymbal = "ride" if steady == "hat" and section.name == "bridge" else steady
        fill = _FILLS[int(rng.integers(len(_FILLS)))]
        fill_beat = section.end_beat - 1
        if section.intensity > 0.9:
            hit(section.start_beat, "crash", 1.0, 8.0)
        for beat in np.arange(section.start_beat, section.end_beat, step):
            sixteenth = round((beat - section.start_beat) * 4) % 16
            last = sixteenth == 14 and section.intensity > 0.6
            accent = 1.0 if beat % 1 == 0 else 0.7
            hit(float(beat), "open_hat" if last and cymbal == "hat" else cymbal, accent, 1.0)
        for sixteenth in range(section.beats * 4):
            beat = section.start_beat + sixteenth / 4
            if beat >= fill_beat:
                break
            if sixteenth % 16 in kick:
                hit(beat, "kick", 1.0 if sixteenth % 8 == 0 else 0.8)
            if sixteenth % 16 in snare:
                hit(beat, "snare", 1.0 if sixteenth % 4 == 0 else 0.6)
        hit(fill_beat, "kick", 1.0)
        for offset, sound in fill:
            hit(fill_beat + offset / 4, sound, 0.8 + 0.05 * offset)
    return list(parts.values())


def percussion(song: Song, rng: np.random.Generator) -> list[Part]:
    """Return a shaker or tambourine under the pattern of the hand drums."""
    pattern = _HAND_PATTERNS[int(rng.integers(len(_HAND_PATTERNS)))]
    shaken = "shaker" if rng.random() < 0.7 else "tambourine"
    step = 0.5 if song.tempo_bpm > 108 else 0.25
    part = Part("percussion", "percussion")
    for section in _playing(song, "percussion"):
        for beat in np.arange(section.start_beat, section.end_beat, step):
            sound = shaken if shaken == "tambourine" or beat % (2 * step) == 0 else "shaker_back"
            velocity = 1.0 if beat % 1 == 0 else 0.7
            part.notes.append(Note(float(beat), 1.0, 0.0, velocity, sound, _PANS[sound]))
        for bar in range(0, section.beats, 4):
            for sixteenth, letter in enumerate(pattern):
                beat = section.start_beat + bar + sixteenth / 4
                if letter in _HAND_SOUNDS and beat < section.end_beat:
                    sound = _HAND_SOUNDS[letter]
                    part.notes.append(Note(beat, 1.0, 0.0, 0.9, sound, _PANS[sound]))
    return [part]


def bass(song: Song, rng: np.random.Generator) -> list[Part]:
    """Return the bass line: roots, fifths and octaves, with a step into the next chord."""
    part = Part("bass", "bass")
    styles = ((0, 1, 2, 3), (0, 1.5, 2, 3.5), (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5), (0, 2), (0, 1.5, 3))
    verse, chorus = (styles[int(i)] for i in rng.integers(len(styles), size=2))
    for section in _playing(song, "bass"):
        onsets = chorus if section.intensity > 0.9 else verse
        for bar in range(0, section.beats, 4):
            start = section.start_beat + bar
            chord, following = song.chord_at(start), song.chord_at(start + 4)
            root = 28 + (chord.root - 28) % 12
            for onset, end in zip(onsets, (*onsets[1:], 4), strict=True):
                beat = start + onset
                if beat >= section.end_beat:
                    break
                pitch = root
                if onset and rng.random() < 0.3:
                    pitch = root + int(rng.choice([7, 12, 0]))
                if end == 4 and onset >= 3 and following.root != chord.root:
                    target = 28 + (following.root - 28) % 12
                    pitch = target + (1 if target < root else -1)
                velocity = 1.0 if onset == 0 else 0.8
                held = min(end - onset, section.end_beat - beat)
                part.notes.append(Note(beat, held, pitch, velocity, "string"))
    return [part]


def _playing(song: Song, stem_class: str) -> list[Section]:
    return [section for section in song.sections if stem_class in section.classes]
