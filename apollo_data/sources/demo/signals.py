"""What the demo instruments are built from: envelopes, noise, oscillators and filters.

Signals are float32 arrays at 44.1 kHz, (samples,) for mono and (2, samples) for stereo.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy

SAMPLE_RATE = 44_100
HIGHEST_HZ = 20_000.0
_TABLE_BITS = 12
_LOOP_SAMPLES = 65_536
SHORT_LOOP_SAMPLES = 16_384
CONTROL_SAMPLES = 16
_RINGING_STEP = 256

Signal = npt.NDArray[np.float32]
Response = Callable[[Signal], Signal]


def samples(seconds: float) -> int:
    """Return the number of samples nearest to `seconds`, at least one."""
    return max(1, round(seconds * SAMPLE_RATE))


def hertz(pitch: float) -> float:
    """Return the frequency of a MIDI pitch, which may be fractional.

    Examples
    --------
    >>> hertz(69), hertz(57)
    (440.0, 220.0)
    """
    return float(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))


def time_axis(count: int) -> Signal:
    """Return the times of `count` samples in seconds."""
    return np.arange(count, dtype=np.float32) / np.float32(SAMPLE_RATE)


def control_axis(count: int) -> Signal:
    """Return the times in seconds of the steps in which a frequency may change: every 16 samples.

    The phase stays continuous, so that the steps are far below hearing and cost next to nothing.
    """
    steps = -(-count // CONTROL_SAMPLES)
    return np.arange(steps, dtype=np.float32) * np.float32(CONTROL_SAMPLES / SAMPLE_RATE)


def decay(count: int, seconds: float) -> Signal:
    """Return an exponential that falls by 60 dB in `seconds`."""
    return np.exp(time_axis(count) * np.float32(-6.9078 / seconds))


def fade_in(signal: Signal, seconds: float) -> Signal:
    """Raise the start of `signal` (…, samples) along half a cosine, in place."""
    count = min(signal.shape[-1], samples(seconds))
    signal[..., :count] *= _ramp(count)
    return signal


def fade_out(signal: Signal, seconds: float) -> Signal:
    """Let the end of `signal` (…, samples) fall to zero along half a cosine, in place."""
    count = min(signal.shape[-1], samples(seconds))
    signal[..., -count:] *= _ramp(count)[::-1]
    return signal


@lru_cache(maxsize=64)
def _ramp(count: int) -> Signal:
    ramp = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, count, dtype=np.float32))
    return ramp.astype(np.float32)


def to_peak(signal: Signal, peak: float = 1.0) -> Signal:
    """Scale `signal` so that its largest magnitude is `peak`."""
    top = float(np.abs(signal).max())
    return signal * np.float32(peak / top) if top > 0.0 else signal


def root_mean_square(signal: Signal) -> float:
    """Return the root mean square of `signal` (samples,)."""
    return math.sqrt(float(np.einsum("i,i", signal, signal)) / len(signal))


def to_rms(signal: Signal, rms: float = 1.0) -> Signal:
    """Scale `signal` so that its root mean square is `rms`."""
    level = root_mean_square(signal)
    return signal * np.float32(rms / level) if level > 0.0 else signal


def ringing(
    count: int,
    frequency_hz: npt.ArrayLike,
    decay_seconds: npt.ArrayLike,
    level: npt.ArrayLike,
    phase: npt.ArrayLike = 0.0,
) -> Signal:
    """Return the sum, (count,), of sines that each fall by 60 dB in their `decay_seconds`.

    A damped sine is a power series, so that it factors into a coarse and a fine part, and the
    sum of many into one small matrix product. `einsum` rather than BLAS forms it, whose
    rounding depends on the number of threads.
    """
    fine = np.arange(_RINGING_STEP)
    coarse = np.arange(0, count, _RINGING_STEP)
    hz, seconds, level, phase = (
        np.broadcast_to(np.asarray(values, np.float64), np.shape(frequency_hz))[:, None]
        for values in (frequency_hz, decay_seconds, level, phase)
    )
    fall, turns = -6.9078 / SAMPLE_RATE / seconds, hz / SAMPLE_RATE
    steps = _polar(fall * fine, turns * fine)
    blocks = _polar(fall * coarse + np.log(level), turns * coarse + phase / (2.0 * math.pi))
    # Im((a + ib)(c + id)) = bc + ad
    left = np.concatenate([blocks[1], blocks[0]])
    right = np.concatenate([steps[0], steps[1]])
    return np.einsum("ka,kb->ab", left, right).reshape(-1)[:count]


def _polar(log_level: npt.NDArray[np.float64], turns: npt.NDArray[np.float64]) -> list[Signal]:
    """Return real and imaginary parts; the turns are reduced before they lose precision."""
    angle = ((turns - np.rint(turns)) * (2.0 * math.pi)).astype(np.float32)
    level = np.exp(log_level.astype(np.float32))
    return [level * np.cos(angle), level * np.sin(angle)]


def white_noise(rng: np.random.Generator, count: int) -> Signal:
    """Return uniform white noise of unit variance, (count,)."""
    return (rng.random(count, dtype=np.float32) - np.float32(0.5)) * np.float32(12.0**0.5)


@lru_cache(maxsize=64)
def bins_hz(length: int) -> Signal:
    """Return the frequencies of a real FFT's bins."""
    return scipy.fft.rfftfreq(length, 1.0 / SAMPLE_RATE).astype(np.float32)


def band(low_hz: float, high_hz: float, order: float = 2.0) -> Response:
    """Return a smooth band-pass magnitude; its slopes are about 6 dB an octave times `order`."""

    def response(hz: Signal) -> Signal:
        below = (np.maximum(hz, 1.0) / np.float32(low_hz)) ** np.float32(2.0 * order)
        above = (hz / np.float32(high_hz)) ** np.float32(2.0 * order)
        return np.sqrt(below / (1.0 + below) / (1.0 + above))

    return response


def shaped_noise(rng: np.random.Generator, count: int, response: Response) -> Signal:
    """Return noise whose spectrum follows `response`, scaled to unit RMS, (count,).

    The noise is periodic in its FFT length, so that it has no filter onset of its own.
    """
    length = scipy.fft.next_fast_len(count, real=True)
    spectrum = scipy.fft.rfft(white_noise(rng, length)) * response(bins_hz(length))
    return to_rms(scipy.fft.irfft(spectrum, length)[:count])


class NoiseLoop:
    """Shaped noise of unit RMS that is made once and read from a random place each time."""

    def __init__(
        self, rng: np.random.Generator, response: Response, count: int = _LOOP_SAMPLES
    ) -> None:
        self._rng, self._count = rng, count
        loop = shaped_noise(rng, count, response)
        self._twice = np.concatenate([loop, loop])

    def take(self, count: int) -> Signal:
        """Return a new array of `count` samples."""
        start = int(self._rng.integers(self._count))
        if count <= self._count:
            return self._twice[start : start + count].copy()
        return np.resize(self._twice[start : start + self._count], count)


def harmonics_below(frequency_hz: float, limit_hz: float = HIGHEST_HZ) -> Signal:
    """Return the numbers 1, 2, … of the harmonics of `frequency_hz` up to `limit_hz`."""
    count = int(np.clip(limit_hz / frequency_hz, 1, 2 ** (_TABLE_BITS - 1) - 1))
    return np.arange(1, count + 1, dtype=np.float32)


def cycle(amplitudes: npt.ArrayLike, phases: npt.ArrayLike = 0.0) -> Signal:
    """Return one cycle of a waveform with these harmonics, at unit RMS, for `oscillate`.

    Row 0 holds the values, row 1 the steps to the next ones.
    """
    spectrum = np.zeros(2 ** (_TABLE_BITS - 1) + 1, np.complex64)
    partials = np.asarray(amplitudes) * np.exp(1j * np.asarray(phases))
    spectrum[1 : len(partials) + 1] = partials
    table = to_rms(scipy.fft.irfft(spectrum, 2**_TABLE_BITS).astype(np.float32))
    return np.stack([table, np.roll(table, -1) - table])


def phase_of(
    frequency_hz: Signal | float, count: int, start: float = 0.0
) -> npt.NDArray[np.uint32]:
    """Accumulate a frequency into a phase, (count,), of which 2**32 is one cycle.

    `frequency_hz` is a number or a track on the `control_axis`.
    """
    steps = np.atleast_1d(np.asarray(frequency_hz, np.float64) * (2.0**32 / SAMPLE_RATE))
    every = CONTROL_SAMPLES if len(steps) > 1 else count
    increments = np.repeat(steps.astype(np.uint32), every)[:count]
    increments[0] = int(start % 1.0 * (2**32 - 1))
    return np.cumsum(increments, dtype=np.uint32)


def oscillate(table: Signal, phase: npt.NDArray[np.uint32]) -> Signal:
    """Read the `cycle` at `phase` with linear interpolation."""
    bits = 32 - _TABLE_BITS
    # Taking at signed indices that are clipped needs no check of each: ten times faster.
    index = (phase >> np.uint32(bits)).astype(np.intp)
    tone = table[1].take(index, mode="clip")
    tone *= (phase & np.uint32(2**bits - 1)).astype(np.float32) * np.float32(2.0**-bits)
    tone += table[0].take(index, mode="clip")
    return tone


def sine(frequency_hz: Signal | float, count: int, turned: Signal | float = 0.0) -> Signal:
    """Return a sine, (count,), of a frequency as `phase_of` takes it; `turned` in radians."""
    return np.sin(radians(phase_of(frequency_hz, count)) + turned)


def radians(phase: npt.NDArray[np.uint32]) -> Signal:
    """Return a phase in radians, in [0, 2 pi]."""
    return phase.astype(np.float32) * np.float32(2.0 * math.pi / 2**32)


def vibrato(
    count: int, rate_hz: float, semitones: float, onset_seconds: float, phase: float = 0.0
) -> Signal:
    """Return the factor on a frequency of a vibrato that grows in, on the `control_axis`."""
    time = control_axis(count)
    depth = np.clip((time - onset_seconds) / 0.25, 0.0, 1.0) * (semitones * math.log(2.0) / 12.0)
    swing = np.sin((rate_hz * time + phase) * (2.0 * math.pi))
    return np.asarray(1.0 + depth * swing, np.float32)


def resonators(formants: list[tuple[float, float]]) -> Signal:
    """Return second-order sections, (n, 6), of resonators in cascade with unit gain at 0 Hz.

    `formants` are pairs of centre frequency and bandwidth in Hz.
    """
    sections = np.zeros((len(formants), 6), np.float32)
    for section, (centre_hz, width_hz) in zip(sections, formants, strict=True):
        radius = np.exp(-np.pi * width_hz / SAMPLE_RATE)
        poles = (-2.0 * radius * np.cos(2.0 * np.pi * centre_hz / SAMPLE_RATE), radius**2)
        section[:] = (1.0 + sum(poles), 0.0, 0.0, 1.0, *poles)
    return sections


def filtered(sections: Signal, signal: Signal) -> Signal:
    """Run `signal` (samples,) through second-order sections, (n, 6)."""
    return np.asarray(scipy.signal.sosfilt(sections, signal), np.float32)


def band_pass(low_hz: float, high_hz: float) -> Signal:
    """Return second-order sections, (n, 6), of a band-pass of 12 dB an octave."""
    edges = (low_hz, high_hz)
    sections = scipy.signal.butter(2, edges, "bandpass", fs=SAMPLE_RATE, output="sos")
    return np.asarray(sections, np.float32)
