"""Precision, recall and F1 of found spans against the true ones, frame by frame."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from apollo_data.audio.spans import frames_of_spans
from apollo_data.records import ActiveSpan

_FRAME_SECONDS = 0.01


@dataclass(frozen=True)
class FrameCounts:
    """Numbers of frames of 10 ms: hits, false alarms and misses.

    A ratio whose denominator is zero is None: nothing was found, or there was nothing to find.
    """

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0

    def __add__(self, other: "FrameCounts") -> "FrameCounts":
        return FrameCounts(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
        )

    @property
    def precision(self) -> float | None:
        """Share of the frames found that are truly active."""
        return _ratio(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float | None:
        """Share of the truly active frames that were found."""
        return _ratio(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def count_frames(
    found: Sequence[ActiveSpan], true: Sequence[ActiveSpan], seconds: float
) -> FrameCounts:
    """Compare the spans of one stem; a frame is active if more than half of it lies in a span.

    Examples
    --------
    >>> counts = count_frames([ActiveSpan(0.0, 1.0)], [ActiveSpan(0.5, 2.0)], 3.0)
    >>> counts, counts.precision, round(counts.recall, 3)
    (FrameCounts(hits=50, false_alarms=50, misses=100), 0.5, 0.333)
    """
    heard, sounds = (
        frames_of_spans(spans, seconds, _FRAME_SECONDS) > 0.5 for spans in (found, true)
    )
    hits = np.count_nonzero(heard & sounds)
    return FrameCounts(
        int(hits), int(np.count_nonzero(heard) - hits), int(np.count_nonzero(sounds) - hits)
    )


@dataclass(frozen=True)
class ClassScore:
    """The score of one detector on one stem class, or on all together (``all``)."""

    detector: str
    stem_class: str
    stems: int
    precision: float | None
    recall: float | None
    f1: float | None


def score_classes(
    detector: str, counts_by_stem: Iterable[tuple[str, FrameCounts]]
) -> list[ClassScore]:
    """Add up the counts of (stem class, counts) per class, and of all; longer stems weigh more."""
    totals: dict[str, FrameCounts] = {}
    stems: dict[str, int] = {}
    everything = sorted(counts_by_stem, key=lambda item: item[0])
    for stem_class, counts in [*everything, *(("all", counts) for _, counts in everything)]:
        totals[stem_class] = totals.get(stem_class, FrameCounts()) + counts
        stems[stem_class] = stems.get(stem_class, 0) + 1
    return [
        ClassScore(detector, name, stems[name], total.precision, total.recall, total.f1)
        for name, total in totals.items()
    ]
