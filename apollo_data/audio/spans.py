"""Convert decisions per frame to spans, and back."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from apollo_data.records import ActiveSpan


def spans_of_frames(
    active: npt.NDArray[np.bool_],
    frame_seconds: float,
    min_active_seconds: float,
    min_gap_seconds: float,
) -> tuple[ActiveSpan, ...]:
    """Turn a decision per frame into spans: bridge short rests, then drop short spans.

    Examples
    --------
    >>> spans_of_frames(np.array([1, 1, 0, 1, 0, 0, 0, 1], bool), 0.1, 0.2, 0.15)
    (ActiveSpan(start_seconds=0.0, end_seconds=0.4),)
    """
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    starts, ends = edges[::2], edges[1::2]
    if len(starts) == 0:
        return ()
    apart = (starts[1:] - ends[:-1]) * frame_seconds >= min_gap_seconds - 1e-9
    starts = starts[np.concatenate([[True], apart])]
    ends = ends[np.concatenate([apart, [True]])]
    long = (ends - starts) * frame_seconds >= min_active_seconds - 1e-9
    return tuple(
        ActiveSpan(round(float(start) * frame_seconds, 6), round(float(end) * frame_seconds, 6))
        for start, end in zip(starts[long], ends[long], strict=True)
    )


def frames_of_spans(
    spans: Sequence[ActiveSpan], seconds: float, frame_seconds: float
) -> npt.NDArray[np.float64]:
    """Return which share of each whole frame of a file lies in active spans.

    Examples
    --------
    >>> frames_of_spans([ActiveSpan(0.05, 0.2)], 0.4, 0.1)
    array([0.5, 1. , 0. , 0. ])
    """
    edges = np.arange(int(seconds / frame_seconds + 1e-6) + 1) * frame_seconds
    if not spans:
        return np.zeros(len(edges) - 1)
    times = np.array([[span.start_seconds, span.end_seconds] for span in spans])
    active = np.cumsum(times[:, 1] - times[:, 0])
    covered = np.stack([active - (times[:, 1] - times[:, 0]), active], axis=1)
    return np.round(np.diff(np.interp(edges, times.ravel(), covered.ravel())) / frame_seconds, 9)


def merge_spans(spans: Iterable[ActiveSpan]) -> tuple[ActiveSpan, ...]:
    """Return the union of spans, sorted and apart.

    Examples
    --------
    >>> merge_spans([ActiveSpan(2.0, 3.0), ActiveSpan(0.0, 1.0), ActiveSpan(0.5, 1.5)])
    (ActiveSpan(start_seconds=0.0, end_seconds=1.5), ActiveSpan(start_seconds=2.0, end_seconds=3.0))
    """
    merged: list[ActiveSpan] = []
    for span in sorted(spans, key=lambda item: item.start_seconds):
        if merged and span.start_seconds <= merged[-1].end_seconds:
            end = max(merged[-1].end_seconds, span.end_seconds)
            merged[-1] = ActiveSpan(merged[-1].start_seconds, end)
        else:
            merged.append(span)
    return tuple(merged)
