"""Start times: where in a file a clip may begin."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from apollo_data.audio.spans import frames_of_spans
from apollo_data.records import ActiveSpan

_GRID_SECONDS = 0.01


class StartTimes:
    """Where a clip may begin in one file: all points of a 10-ms grid with enough activity."""

    def __init__(
        self, spans: Sequence[ActiveSpan], seconds: float, clip_seconds: float, min_share: float
    ) -> None:
        active = np.concatenate([[0.0], np.cumsum(frames_of_spans(spans, seconds, _GRID_SECONDS))])
        length = round(clip_seconds / _GRID_SECONDS)
        share = (active[length:] - active[:-length]) / length
        allowed = (share >= min_share - 1e-9) & (share > 0.0)
        edges = np.flatnonzero(np.diff(allowed.astype(np.int8), prepend=0, append=0))
        self._firsts = edges[::2].tolist()
        self._ends = np.cumsum(edges[1::2] - edges[::2]).tolist()

    @property
    def count(self) -> int:
        """How many start times there are."""
        return self._ends[-1] if self._ends else 0

    def pick(self, fraction: float) -> float:
        """Return the start time, in seconds, at `fraction` (0 <= fraction < 1) of them all."""
        number = int(fraction * self.count)
        run = bisect_right(self._ends, number)
        before = self._ends[run - 1] if run else 0
        return round((self._firsts[run] + number - before) * _GRID_SECONDS, 6)
