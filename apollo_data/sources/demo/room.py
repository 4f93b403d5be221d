"""The room in which all stems of a song were recorded: short, with damped treble."""

import numpy as np
import scipy

from apollo_data.sources.demo.signals import SAMPLE_RATE, Signal, band, samples, shaped_noise

FRAME = SAMPLE_RATE // 100
"""Samples in one frame of the energies that tell when a note has died away: 10 ms."""

# Four transforms at a time fill the vector registers and still fit into the cache.
_FFT_SAMPLES = 81_920
_BLOCKS_AT_ONCE = 4


class Room:
    """A stereo room of exponentially decaying noise after a few early reflections."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._decay_seconds = rng.uniform(0.26, 0.4)
        response = np.stack([self._response(rng) for _ in range(2)])
        self._hop = _FFT_SAMPLES - response.shape[1] + 1
        self._spectrum = scipy.fft.rfft(response, _FFT_SAMPLES)

    def _response(self, rng: np.random.Generator) -> Signal:
        count = samples(self._decay_seconds)
        time = np.arange(count, dtype=np.float32) / SAMPLE_RATE
        response = np.zeros(count, np.float32)
        # Air and walls swallow the treble first.
        for low_hz, high_hz, share, ratio in (
            (150.0, 2500.0, 1.0, 1.0),
            (2500.0, 9000.0, 0.5, 0.6),
        ):
            fall = np.exp(time * np.float32(-6.9078 / (self._decay_seconds * ratio)))
            response += share * shaped_noise(rng, count, band(low_hz, high_hz, 1.5)) * fall
        response[: samples(0.006)] = 0.0
        response /= np.sqrt(np.sum(np.square(response)))
        response[rng.integers(samples(0.004), samples(0.025), 6)] += rng.uniform(-0.25, 0.25, 6)
        return (response / np.sqrt(np.sum(np.square(response)))).astype(np.float32)

    def add(self, recording: Signal, send: Signal) -> None:
        """Add the room's answer to `send` (samples,) to `recording` (2, samples), in place."""
        starts = np.arange(0, len(send), self._hop)
        starts = np.array([s for s in starts if send[s : s + self._hop].any()], np.int64)
        for first in range(0, len(starts), _BLOCKS_AT_ONCE):
            group = starts[first : first + _BLOCKS_AT_ONCE]
            blocks = np.zeros((len(group), self._hop), np.float32)
            for block, start in zip(blocks, group, strict=True):
                dry = send[start : start + self._hop]
                block[: len(dry)] = dry
            spectrum = scipy.fft.rfft(blocks, _FFT_SAMPLES)
            for channel, response in zip(recording, self._spectrum, strict=True):
                answer = scipy.fft.irfft(spectrum * response, _FFT_SAMPLES)
                for wet, start in zip(answer, group, strict=True):
                    stop = min(start + _FFT_SAMPLES, recording.shape[1])
                    channel[start:stop] += wet[: stop - start]

    def decayed(self, energy: Signal, wet_gain: float) -> Signal:
        """Return the energies (frames,) of a note and of its sound in the room after it."""
        fall = 10.0 ** (-6.0 * FRAME / SAMPLE_RATE / self._decay_seconds)
        longer = np.zeros(len(energy) + samples(self._decay_seconds) // FRAME)
        longer[: len(energy)] = energy
        # The recursion wet[n] = fall * wet[n - 1] + energy[n], written out.
        falls = fall ** np.arange(len(longer))
        wet = falls * np.cumsum(longer / falls) * (wet_gain**2 * (1.0 - fall))
        return (longer + wet).astype(np.float32)
