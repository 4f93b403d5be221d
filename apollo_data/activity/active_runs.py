"""Runs of active frames: the two-threshold gate, and clicks."""

import numpy as np
import numpy.typing as npt


def runs_of(active: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (first, one past the last) of every run of active frames.

    Examples
    --------
    >>> runs_of(np.array([1, 1, 0, 1], bool))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def hold(onset: npt.NDArray[np.bool_], release: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep the runs of `release` that have at least one `onset`: a two-threshold gate.

    Examples
    --------
    >>> hold(np.array([0, 1, 0, 0], bool), np.array([1, 1, 0, 1], bool)).astype(int)
    array([1, 1, 0, 0])
    """
    counts = np.concatenate([[0], np.cumsum(onset)])
    gate = np.zeros(len(release), bool)
    for start, end in runs_of(release):
        gate[start:end] = counts[end] > counts[start]
    return gate


def without_clicks(active: npt.NDArray[np.bool_], frames: int) -> npt.NDArray[np.bool_]:
    """Drop the runs of at most `frames`, so that no rest is bridged by way of a click."""
    kept = active.copy()
    for start, end in runs_of(active):
        if end - start <= frames:
            kept[start:end] = False
    return kept
