"""Notes and parts: what the arrangers hand to the renderer."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Note:
    """One note or hit.

    `pitch` is a MIDI number, `velocity` lies in (0, 1], `pan` in -1 (left) to 1 (right);
    `sound` says which of its sounds the instrument is to play.
    """

    beat: float
    beats: float
    pitch: float
    velocity: float
    sound: str
    pan: float = 0.0
    delay_seconds: float = 0.0


@dataclass
class Part:
    """All notes of one source of a stem: one track of a multitrack recording."""

    stem_class: str
    source: str
    notes: list[Note] = field(default_factory=list)
