"""From notes to sound: each distinct note is played once, then placed wherever it recurs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from apollo_data.sources.demo.activity import Event
from apollo_data.sources.demo.composition import Song
from apollo_data.sources.demo.notes import Part
from apollo_data.sources.demo.players import Chair
from apollo_data.sources.demo.room import FRAME, Room
from apollo_data.sources.demo.signals import SAMPLE_RATE, Signal, fade_out, samples

LEAD_IN_SECONDS = 0.02
_JITTER_SECONDS = 0.004
_END_FADE_SECONDS = 0.03

# A note's sound, pitch, hardness and number among the takes of the same note.
_Key = tuple[str, float, float, int]


@dataclass(frozen=True)
class _Cut:
    """One note at the length it is held, mono (1, samples) or stereo (2, samples)."""

    audio: Signal
    energy: Signal


class NoteBank:
    """Plays a chair's instrument on demand and remembers every note."""

    def __init__(self, chair: Chair, room: Room) -> None:
        self._chair, self._room = chair, room
        self._played: dict[_Key, Signal] = {}
        self._cuts: dict[tuple[_Key, int], _Cut] = {}
        self._longest: dict[_Key, float] = {}

    def expect(self, key: _Key, held_seconds: float) -> None:
        """Announce a note, so that it is played once at the longest length needed."""
        self._longest[key] = max(self._longest.get(key, 0.0), held_seconds)

    def cut(self, key: _Key, held_seconds: float) -> _Cut:
        """Return the announced note, released after `held_seconds`."""
        held = samples(held_seconds)
        if (key, held) not in self._cuts:
            audio = self._whole(key)
            end = min(audio.shape[1], held + samples(self._chair.instrument.release_seconds))
            if end > held:  # the note still sounds when it is released
                audio = fade_out(audio[:, :end].copy(), (end - held) / SAMPLE_RATE)
            energy = self._room.decayed(_frame_energy(audio), self._chair.wet_gain)
            self._cuts[key, held] = _Cut(audio, energy)
        return self._cuts[key, held]

    def _whole(self, key: _Key) -> Signal:
        if key not in self._played:
            sound, pitch, hardness, _ = key
            instrument = self._chair.instrument
            seconds = self._longest[key] + instrument.release_seconds
            note = instrument.play(sound, pitch, hardness, seconds)
            self._played[key] = np.atleast_2d(note.astype(np.float32, copy=False))
        return self._played[key]


def _frame_energy(audio: Signal) -> Signal:
    """Return the mean square of each frame of 10 ms, over time and channels."""
    frames = max(1, audio.shape[1] // FRAME)
    blocks = audio[:, : frames * FRAME].reshape(len(audio), frames, -1)
    total = np.einsum("cfs,cfs->f", blocks, blocks)
    return np.asarray(total / np.float32(len(audio) * FRAME))


@dataclass(frozen=True)
class _Placed:
    """A note with its times in seconds and the key under which the bank knows it."""

    key: _Key
    start_seconds: float
    held_seconds: float
    gain: float
    pan: float


class Recording:
    """One track of the song while it is being recorded: left, right and the send to the room."""

    def __init__(self, song: Song, room: Room) -> None:
        self._song, self._room = song, room
        self._buses = np.zeros((3, samples(song.seconds)), np.float32)
        self._scratch = np.empty(samples(song.seconds), np.float32)
        self.events: list[Event] = []

    def rewind(self) -> None:
        """Start a new track on the same tape: fresh memory would cost more than clearing it."""
        self._buses.fill(0.0)
        self.events = []

    def play(self, chair: Chair, bank: NoteBank, part: Part, rng: np.random.Generator) -> None:
        """Let a chair play one of its parts."""
        placed = list(_placed(self._song, chair, part, rng))
        for note in placed:
            bank.expect(note.key, note.held_seconds)
        for note in placed:
            cut = bank.cut(note.key, note.held_seconds)
            self._place(cut.audio, note, chair.wet_gain)
            self.events.append(Event(note.start_seconds, cut.energy, note.gain))

    def _place(self, audio: Signal, note: _Placed, wet_gain: float) -> None:
        first = samples(note.start_seconds)
        buses = self._buses[:, first : first + audio.shape[1]]
        audio = audio[:, : buses.shape[1]]
        turn = (note.pan + 1.0) * math.pi / 4.0
        loud = note.gain * 2**0.5
        scratch = self._scratch[: audio.shape[1]]
        centre = audio[0] if len(audio) == 1 else (audio[0] + audio[1]) * np.float32(0.5)
        for bus, signal, gain in (
            (buses[0], audio[0], math.cos(turn) * loud),
            (buses[1], audio[-1], math.sin(turn) * loud),
            (buses[2], centre, wet_gain * note.gain),
        ):
            bus += np.multiply(signal, gain, out=scratch)

    def finish(self) -> Signal:
        """Return the track with its room, (2, samples), faded out where the song is cut."""
        self._room.add(self._buses[:2], self._buses[2])
        return fade_out(self._buses[:2], _END_FADE_SECONDS)


def _placed(song: Song, chair: Chair, part: Part, rng: np.random.Generator) -> Iterator[_Placed]:
    """Turn beats into seconds with a player's small errors, and release notes at rests."""
    blocks = song.blocks(part.stem_class)
    loud = not chair.instrument.layered
    jitter = rng.normal(0.0, _JITTER_SECONDS, len(part.notes)).clip(-0.01, 0.01).tolist()
    force = rng.uniform(0.92, 1.0, len(part.notes)).tolist()
    for count, note in enumerate(part.notes):
        block_end = next(end for _, end in blocks if note.beat < end)
        section = song.section_at(note.beat)
        beats = min(note.beats, block_end - note.beat)
        start = LEAD_IN_SECONDS + _swung(note.beat, song.swing) * song.beat_seconds
        pitch = round(note.pitch + song.tuning_semitones, 3)
        hardness = 1.0 if loud or section.intensity > 0.9 else 0.6
        key = (note.sound, pitch, hardness, count % chair.variants)
        loudness = note.velocity * (0.7 + 0.3 * section.intensity)
        yield _Placed(
            key,
            max(0.0, start + note.delay_seconds + jitter[count]),
            max(0.03, round(beats, 3) * song.beat_seconds),
            chair.gain * loudness * force[count],
            note.pan,
        )


def _swung(beat: float, swing: float) -> float:
    """Delay the second half of the beat, as swing does."""
    whole, part = divmod(beat, 1.0)
    middle = 0.5 + swing / 2.0
    return float(
        whole
        + (part * 2.0 * middle if part < 0.5 else middle + (part - 0.5) * 2.0 * (1.0 - middle))
    )
