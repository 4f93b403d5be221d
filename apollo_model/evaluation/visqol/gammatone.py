"""The gammatone spectrogram: root mean square per band and frame of a bank of 32 filters.

Every frame is windowed, filtered from rest, and cut where the frame ends. Instead of running
32 recursive filters over each frame, the energy is computed in the frequency domain: that of
the whole response (Parseval) less that of the tail which rings on after the frame. The tail of
a filter of order 8 depends on 8 numbers, so that its energy is a small matrix product. The
result is that of the recursive filters to within rounding.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

SAMPLE_RATE = 48000
BANDS = 32
FRAME = 3840  # 80 ms
HOP = 960
LOWEST_HZ = 50.0

Array = npt.NDArray[Any]

_FFT = 12288  # a frame and the lowest band's response after it
_TAIL = 8192  # until the lowest band's response has faded to nothing
_EAR_Q, _MIN_BANDWIDTH_HZ = 9.26449, 24.7  # Glasberg and Moore 1990
_BLOCK = 256  # frames at a time: bounds the memory for long sounds

_HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / (FRAME - 1))


@dataclass(frozen=True)
class _Bank:
    """Band energies of a frame's spectrum, and the rank-8 maps to its tails."""

    power: Array  # (_FFT / 2 + 1, BANDS)
    tails: Array  # (FRAME, BANDS * 8)


def spectrogram(audio: Array) -> Array:
    """Return the root mean square of each band and frame, (BANDS, frames), low bands first.

    Parameters
    ----------
    audio
        (samples,) at 48 kHz, more than FRAME samples.
    """
    frames = np.lib.stride_tricks.sliding_window_view(audio, FRAME)[::HOP]
    bank = _bank()
    rows = [
        _band_rms(frames[start : start + _BLOCK], bank) for start in range(0, len(frames), _BLOCK)
    ]
    return np.concatenate(rows).T


def _band_rms(frames: Array, bank: _Bank) -> Array:
    """Return (frames, BANDS)."""
    windowed = frames * _HANN
    spectrum = scipy.fft.rfft(windowed, _FFT)
    whole = (spectrum.real**2 + spectrum.imag**2) @ bank.power
    tail = ((windowed @ bank.tails) ** 2).reshape(len(frames), BANDS, -1).sum(-1)
    return np.sqrt(np.maximum(whole - tail, 0.0) / FRAME)


def centre_frequencies() -> Array:
    """Return the bands' centre frequencies in Hz, rising, evenly spaced on the ERB scale."""
    offset = _EAR_Q * _MIN_BANDWIDTH_HZ
    top = SAMPLE_RATE / 2 + offset
    step = (np.log(LOWEST_HZ + offset) - np.log(top)) / BANDS
    return (np.exp(np.arange(1, BANDS + 1) * step) * top - offset)[::-1]


@cache
def _bank() -> _Bank:
    numerators, denominators = _sections()
    z = np.exp(-2j * np.pi * np.arange(_FFT // 2 + 1) / _FFT)
    response = np.ones((BANDS, len(z)), complex)
    for section in range(4):
        zeros = numerators[:, section, :1] + numerators[:, section, 1:] * z
        poles = 1 + denominators[:, :1] * z + denominators[:, 1:] * z**2
        response *= zeros / poles
    # Twice, for the negative frequencies; not the first and the last bin, which have none.
    weights = np.full(len(z), 2.0 / _FFT)
    weights[[0, -1]] /= 2
    power = (np.abs(response) ** 2 * weights).T
    return _Bank(np.ascontiguousarray(power), _tail_maps(numerators, denominators))


def _sections() -> tuple[Array, Array]:
    """Return the filters as four second-order sections: (BANDS, 4, 2) and (BANDS, 2).

    Slaney 1993, "An efficient implementation of the Patterson-Holdsworth auditory filter
    bank": the sections share their poles, have one zero each, and gain 1 at the centre.
    """
    centre = centre_frequencies()
    period = 1 / SAMPLE_RATE
    angle = 2 * np.pi * centre * period
    bandwidth = 1.019 * 2 * np.pi * (centre / _EAR_Q + _MIN_BANDWIDTH_HZ)
    decay = np.exp(-bandwidth * period)
    poles = np.stack((-2 * decay * np.cos(angle), decay**2), -1)
    shift = np.array([1, -1, 1, -1]) * np.sqrt(3 + np.array([1, 1, -1, -1]) * 2**1.5)
    zeros = -decay[:, None] * (np.cos(angle)[:, None] + shift * np.sin(angle)[:, None])
    sections = period * np.stack((np.ones_like(zeros), zeros), -1)
    at_centre = np.exp(-1j * angle)
    response = 1 + poles[:, 0] * at_centre + poles[:, 1] * at_centre**2
    gain = np.abs((sections[..., 0] + sections[..., 1] * at_centre[:, None]).prod(-1) / response**4)
    sections[:, 0] /= gain[:, None]
    return sections, poles


def _tail_maps(numerators: Array, denominators: Array) -> Array:
    """Return (FRAME, BANDS * 8): a windowed frame times this has the tails' energies as squares."""
    step, entry, exit_ = _state_space(numerators, denominators)
    states = np.empty((FRAME, BANDS, 8))  # of an impulse so many samples before the frame's end
    states[0] = entry
    for lag in range(1, FRAME):
        states[lag] = np.einsum("bij,bj->bi", step, states[lag - 1])
    ringing = np.empty((_TAIL, BANDS, 8))  # output so many samples after the end, by state
    ringing[0] = exit_
    for late in range(1, _TAIL):
        ringing[late] = np.einsum("bj,bji->bi", ringing[late - 1], step)
    factor = np.linalg.qr(ringing.transpose(1, 0, 2), mode="r")
    maps = np.einsum("bij,nbj->nbi", factor, states[::-1])
    return np.ascontiguousarray(maps.reshape(FRAME, -1))


def _state_space(numerators: Array, denominators: Array) -> tuple[Array, Array, Array]:
    """Return the cascade as (step, entry, exit): state' = step state + entry x, y = exit state.

    `exit` leaves out the way that the current sample takes at once: it speaks of the samples
    after the end, where the input is zero.
    """
    step, entry, exit_ = np.zeros((BANDS, 8, 8)), np.zeros((BANDS, 8)), np.zeros((BANDS, 8))
    direct = np.ones(BANDS)  # of the input, at this section's entrance
    for section in range(4):
        own = slice(2 * section, 2 * section + 2)
        first, second = numerators[:, section, 0], numerators[:, section, 1]
        # Transposed direct form: y = first u + s0; s0' = second u - a1 y + s1; s1' = -a2 y.
        gains = np.stack((second - denominators[:, 0] * first, -denominators[:, 1] * first), -1)
        step[:, own] = gains[..., None] * exit_[:, None]
        step[:, own.start, own.start] = -denominators[:, 0]
        step[:, own.start, own.start + 1] = 1
        step[:, own.start + 1, own.start] = -denominators[:, 1]
        entry[:, own] = gains * direct[:, None]
        exit_ = first[:, None] * exit_
        exit_[:, own.start] = 1
        direct = first * direct
    return step, entry, exit_
