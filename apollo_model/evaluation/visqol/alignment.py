"""Lags: of two whole sounds by their envelopes, and of patches by dynamic programming."""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

Array = npt.NDArray[Any]

SEARCH_PATCHES = 60
"""How far from its place a patch is looked for, in lengths of a patch."""


class Envelope:
    """The upper envelope of a sound, and its spectrum for correlations."""

    def __init__(self, audio: Array) -> None:
        self.values = _upper_envelope(audio)
        self._spectra: dict[int, Array] = {}

    def lag_of(self, other: "Envelope") -> int:
        """Return by how many samples `other` is early; negative if it is late.

        It is the lag of the largest cross-correlation.
        """
        longest = max(len(self.values), len(other.values))
        points = scipy.fft.next_fast_len(2 * longest - 1, real=True)
        cross = self._spectrum(points) * other._spectrum(points).conj()
        correlation = scipy.fft.irfft(cross, points)
        lags = np.concatenate((correlation[1 - longest :], correlation[:longest]))
        return int(np.argmax(lags)) - (longest - 1)

    def _spectrum(self, points: int) -> Array:
        if points not in self._spectra:
            self._spectra[points] = scipy.fft.rfft(self.values, points)
        return self._spectra[points]


def _upper_envelope(audio: Array) -> Array:
    """Return the magnitude of the analytic signal, around the mean."""
    mean = audio.mean()
    count = len(audio)
    analytic = np.zeros(count, complex)
    analytic[: count // 2 + 1] = scipy.fft.rfft(audio - mean)
    analytic[1 : (count + 1) // 2] *= 2
    return np.abs(scipy.fft.ifft(analytic, overwrite_x=True)) + mean


def shifted(audio: Array, lag: int) -> Array:
    """Move a sound that is early by `lag` samples; ViSQOL leaves lags of half a sound and more."""
    return np.concatenate((np.zeros(lag), audio)) if lag >= 0 else audio[-lag:]


def truncated(reference: Array, degraded: Array, lag: int) -> tuple[Array, Array]:
    """Bring both, of which `degraded` was moved by `lag`, to the stretch that they share."""
    if len(reference) < len(degraded) and lag > 0:
        reference, degraded = reference[lag:], degraded[lag:]
    shared = min(len(reference), len(degraded))
    return reference[:shared], degraded[:shared]


def best_offsets(similarities: Array, starts: list[int], radius: int) -> list[int | None]:
    """Return where each reference patch is found in the degraded spectrogram.

    The offsets increase, and maximise the sum of similarities; a patch that is better left
    out is None, a lost one.

    Parameters
    ----------
    similarities
        (patches, offsets).
    starts
        The patches' own offsets in the reference.
    radius
        Largest distance from the own offset, in frames.
    """
    patches, offsets = similarities.shape
    totals = np.zeros((patches, offsets))
    sources = np.full((patches, offsets), -1)
    reach = [(max(0, start - radius), min(offsets - 1, start + radius)) for start in starts]
    for patch, (low, high) in enumerate(reach):
        inside = slice(low, high + 1)
        totals[patch, inside] = similarities[patch, inside]
        if patch:
            _go_on(totals, sources, patch, inside, reach[patch - 1][0])
    last_low, last_high = reach[-1]
    offset = last_low + int(np.argmax(totals[-1, last_low : last_high + 1]))
    found: list[int | None] = []
    for patch in reversed(range(patches)):
        source = int(sources[patch, offset])
        found.append(None if source == offset else offset)
        offset = source
    return found[::-1]


def _go_on(totals: Array, sources: Array, patch: int, inside: slice, earliest: int) -> None:
    """Add the best totals before a patch to its own; leave the patch out where that is better."""
    before = totals[patch - 1]
    best, place, where = -np.inf, -1, np.arange(inside.start, inside.stop)
    bests, places = np.empty(len(where)), np.empty(len(where), int)
    following = earliest
    for number, offset in enumerate(where):
        while following < offset:
            if before[following] >= best:  # of equal ones the latest
                best, place = before[following], following
            following += 1
        bests[number], places[number] = best, place
    joined = totals[patch, inside] + bests
    leave_out = before[inside] > joined
    totals[patch, inside] = np.where(leave_out, before[inside], joined)
    sources[patch, inside] = np.where(leave_out, where, places)
