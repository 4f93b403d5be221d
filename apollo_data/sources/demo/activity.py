"""The true activity of a stem, known from its notes rather than measured on its sound."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apollo_data.sources.demo.room import FRAME
from apollo_data.sources.demo.signals import SAMPLE_RATE, Signal

Spans = list[tuple[float, float]]

_FRAME_SECONDS = FRAME / SAMPLE_RATE
_AUDIBLE_DB = 45.0
_BRIDGED_SECONDS = 0.3
# Tails of a chord are heard together while each alone is weaker by up to 12 dB.
_SHARE = 10.0 ** (-12.0 / 10.0)


@dataclass(frozen=True)
class Event:
    """One note as it was placed: its onset, and its energies in frames of 10 ms."""

    start_seconds: float
    energy: Signal
    gain: float


def active_spans(events: list[Event], seconds: float) -> Spans:
    """Return the sorted spans in which the events sound, in seconds.

    An event sounds from its onset until it and the others have decayed 45 dB under the stem's
    loud level, which is the 95th percentile of the energy that the events add up to. Gaps
    shorter than 0.3 s are bridged.
    """
    together = _energy_of_all(events, seconds)
    sounding = together[together > together.max() * 1e-6]
    if not len(sounding):
        return []
    floor = float(np.percentile(sounding, 95)) * 10.0 ** (-_AUDIBLE_DB / 10.0)
    spans: Spans = []
    for event in sorted(events, key=lambda event: event.start_seconds):
        first = int(event.start_seconds / _FRAME_SECONDS)
        others = together[first : first + len(event.energy)]
        own = event.energy[: len(others)] * event.gain**2
        audible = np.flatnonzero((others > floor) & (own > floor * _SHARE))
        if not len(audible):
            continue
        start = event.start_seconds
        end = min(start + (int(audible[-1]) + 1) * _FRAME_SECONDS, seconds)
        if spans and start - spans[-1][1] < _BRIDGED_SECONDS:
            spans[-1] = (spans[-1][0], max(spans[-1][1], end))
        elif end > start:
            spans.append((start, end))
    return [(round(start, 3), round(end, 3)) for start, end in spans]


def _energy_of_all(events: list[Event], seconds: float) -> npt.NDArray[np.float64]:
    timeline = np.zeros(int(seconds / _FRAME_SECONDS) + 1, np.float64)
    for event in events:
        first = int(event.start_seconds / _FRAME_SECONDS)
        part = timeline[first : first + len(event.energy)]
        part += event.energy[: len(part)] * event.gain**2
    return timeline
