"""The hum test: lines at multiples of 100 Hz that neither the target nor the coded clip has.

Networks that work in frames of 10 ms can leave a buzz at the rate of their frames. Its lines are
narrow and stay for the whole clip, so that one long spectrum shows them under much music.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

Array = npt.NDArray[Any]

HUM_RATE_HZ = 100.0
"""Frames a second of the published network (hop 441 at 44.1 kHz)."""

HUM_LIMIT_DB = -60.0
"""Relative to the target's power; a clip above this fails the test."""

NO_HUM_DB = -100.0
"""The score of a clip in which no line was found, and the lowest there is."""

_AROUND_HZ = 20.0
_GUARD_BINS = 3
_LINE = 8.0
"""So many times the power around it makes a line; noise does so once in some thousand lines."""

_MAIN_LOBE = np.arange(-1, 2)
_RIDGE = 1e-9


class HumReference:
    """A target and what the codec made of it, against which estimates are tested.

    Parameters
    ----------
    target, coded
        (channels, samples) of one shape.
    sample_rate
        In Hz.
    """

    def __init__(self, target: Array, coded: Array, sample_rate: int) -> None:
        samples = target.shape[-1]
        bin_hz = sample_rate / samples
        reach = round(_AROUND_HZ / bin_hz)
        highest = int((sample_rate / 2 - _AROUND_HZ) / HUM_RATE_HZ)
        self._centres = np.round(HUM_RATE_HZ * np.arange(1, highest) / bin_hz).astype(int)
        beside = np.arange(_GUARD_BINS + 1, max(reach, _GUARD_BINS + 8) + 1)
        self._around = np.concatenate((-beside[::-1], beside))
        self._power = float(np.mean(np.square(target, dtype=np.float64)))
        known = np.stack([_spectrum(target), _spectrum(coded)], -1)  # (channels, bins, 2)
        self._known_lines = self._at(known, _MAIN_LOBE)
        self._known_around = self._at(known, self._around)
        has_line = _is_line(self._known_lines, self._known_around, -2)
        self._free = ~has_line.any(-1)
        self._samples = samples

    def hum_db(self, estimate: Array) -> float:
        """Return the power of the lines relative to the target's, in dB, -100 where there is none.

        Around each multiple of 100 Hz, what a combination of target and coded clip explains is
        taken out first. Multiples where one of these has a line itself are left out.
        """
        spectrum = _spectrum(estimate)
        lines, around = self._at(spectrum, _MAIN_LOBE), self._at(spectrum, self._around)
        weights = _explain(self._known_around, around)
        lines = lines - np.einsum("chnk,chk->chn", self._known_lines, weights)
        around = around - np.einsum("chnk,chk->chn", self._known_around, weights)
        found = _is_line(lines, around, -1) & self._free
        # Of a sine's power, a Hann window brings 3/32 of the squared length into these bins.
        power = np.where(found, (np.abs(lines) ** 2).sum(-1), 0.0).sum(-1).mean()
        share = power * 16 / 3 / self._samples**2 / self._power
        return float(10 * np.log10(max(share, 10 ** (NO_HUM_DB / 10))))

    def _at(self, spectrum: Array, offsets: Array) -> Array:
        """Return (channels, harmonics, offsets, ...)."""
        places = self._centres[:, None] + offsets
        return spectrum[:, np.clip(places, 0, spectrum.shape[1] - 1)]


def _spectrum(audio: Array) -> Array:
    """Return the spectrum under a Hann window, (channels, bins)."""
    window = np.hanning(audio.shape[-1] + 1)[:-1]
    return scipy.fft.rfft(audio * window)


def _is_line(lines: Array, around: Array, axis: int) -> Array:
    return (np.abs(lines) ** 2).mean(axis) > _LINE * (np.abs(around) ** 2).mean(axis)


def _explain(known: Array, found: Array) -> Array:
    """Return the least-squares weights of the known signals around each line, (..., 2)."""
    adjoint = known.conj().swapaxes(-1, -2)
    gram = adjoint @ known
    size = np.trace(gram, axis1=-2, axis2=-1).real[..., None, None]
    ridge = (_RIDGE * size + np.finfo(float).tiny) * np.eye(known.shape[-1])
    solution = np.linalg.solve(gram + ridge, adjoint @ found[..., None])
    return solution[..., 0]
