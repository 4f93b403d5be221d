"""A whole song on tape: every class plays, the stems are levelled together, truth beside them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apollo_data.sources.demo.activity import Event, Spans, active_spans
from apollo_data.sources.demo.composition import Song, SongId
from apollo_data.sources.demo.players import seat
from apollo_data.sources.demo.render import NoteBank, Recording
from apollo_data.sources.demo.room import Room
from apollo_data.sources.demo.signals import Signal, samples

Pcm = npt.NDArray[np.int16]

FULL_SCALE = 32_767
_MIXTURE_PEAK = 0.89
_STEM_PEAK = 0.7
# Blocks that stay in the cache: whole songs would travel through memory several times.
_BLOCK_SAMPLES = 32_768


@dataclass(frozen=True)
class Take:
    """One track at 16 bits, (samples, 2), scaled to its own peak so that minutes fit in memory."""

    stem: str
    track_type: str
    pcm: Pcm
    gain: float

    def levelled(self, gain: float) -> Pcm:
        """Return the track's final samples, (samples, 2), in the song's common scale."""
        levelled = np.empty_like(self.pcm)
        for first in range(0, len(levelled), _BLOCK_SAMPLES):
            block = self.pcm[first : first + _BLOCK_SAMPLES] * np.float32(self.gain * gain)
            levelled[first : first + _BLOCK_SAMPLES] = np.rint(block, out=block)
        return levelled


@dataclass(frozen=True)
class Session:
    """All tracks of a song, the gain that they share, and when each stem truly sounds."""

    takes: tuple[Take, ...]
    gain: float
    truth: dict[str, Spans]


def record(who: SongId, song: Song, stems: Mapping[str, Sequence[str]], apart: bool) -> Session:
    """Record `song`; `stems` names the classes that each stem holds.

    With `apart` every part becomes a track of its own, otherwise a stem is one track. The
    gain brings the mixture of all stems to -1 dBFS at most and each stem to -3 dBFS at most.
    """
    room = Room(who.rng("room"))
    mixture = np.zeros((2, samples(song.seconds)), np.float32)
    total = np.empty_like(mixture)
    recording = Recording(song, room)
    takes, truth, loudest = [], {}, 0.0
    for stem, classes in stems.items():
        total.fill(0.0)
        events: list[Event] = []
        for track_type in _tracks(recording, who, song, room, classes, apart):
            audio = recording.finish()
            events += recording.events
            takes.append(_take(stem, track_type, audio))
            total += audio
        truth[stem] = active_spans(events, song.seconds)
        loudest = max(loudest, _peak(total))
        mixture += total
    gain = min(_MIXTURE_PEAK / _peak(mixture), _STEM_PEAK / loudest)
    return Session(tuple(takes), gain, truth)


def _tracks(
    recording: Recording, who: SongId, song: Song, room: Room, classes: Sequence[str], apart: bool
) -> Iterator[str]:
    """Play the classes onto `recording`; yield the track type whenever a track is complete."""
    track_type = ""
    for stem_class in classes:
        chair = seat(stem_class, song, who)
        bank = NoteBank(chair, room)
        rng = who.rng(f"performance/{stem_class}")
        for part, track_type in zip(chair.parts, chair.track_types, strict=True):
            recording.play(chair, bank, part, rng)
            if apart:
                yield track_type
                recording.rewind()
    if not apart:
        yield track_type
        recording.rewind()


def _take(stem: str, track_type: str, audio: Signal) -> Take:
    peak = _peak(audio)
    pcm = np.empty(audio.shape[::-1], np.int16)
    for first in range(0, len(pcm), _BLOCK_SAMPLES):
        block = audio[:, first : first + _BLOCK_SAMPLES] * np.float32(FULL_SCALE / peak)
        np.rint(block, out=block)
        for channel, signal in enumerate(block):
            pcm[first : first + _BLOCK_SAMPLES, channel] = signal
    return Take(stem, track_type, pcm, peak)


def _peak(audio: Signal) -> float:
    return max(float(audio.max()), -float(audio.min()), 1e-9)
