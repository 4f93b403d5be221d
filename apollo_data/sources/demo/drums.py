"""The drum kit: kick, snare, toms, hi-hat, ride and crash."""

import numpy as np
import scipy

from apollo_data.sources.demo.signals import (
    Response,
    Signal,
    band,
    bins_hz,
    control_axis,
    decay,
    fade_in,
    fade_out,
    ringing,
    samples,
    shaped_noise,
    sine,
    to_peak,
)


class DrumKit:
    """A kit with tunings, sizes and damping of its own.

    Sounds: kick, snare, tom_high, tom_mid, tom_low, hat, open_hat, ride, crash.
    """

    release_seconds = 0.12
    layered = True

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._kick_hz = rng.uniform(44.0, 60.0)
        self._kick_seconds = rng.uniform(0.25, 0.5)
        self._snare_hz = rng.uniform(165.0, 235.0)
        self._snare_seconds = rng.uniform(0.18, 0.36)
        self._tom_hz = rng.uniform(75.0, 95.0)
        self._metal = {
            "hat": self._modes(340.0, 60),
            "ride": self._modes(420.0, 90),
            "crash": self._modes(260.0, 140),
        }
        self._hat_seconds = rng.uniform(0.06, 0.12)
        self._crash_seconds = rng.uniform(1.4, 2.2)
        self._brightness = rng.uniform(-1.0, 1.0)

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Strike one piece; `pitch` has no meaning here."""
        if sound.startswith("tom"):
            return self._tom({"tom_high": 1.75, "tom_mid": 1.3, "tom_low": 1.0}[sound], hardness)
        return {
            "kick": self._kick,
            "snare": self._snare,
            "hat": self._closed_hat,
            "open_hat": self._open_hat,
            "ride": self._ride,
            "crash": self._crash,
        }[sound](hardness)

    def _kick(self, hardness: float) -> Signal:
        count = samples(self._kick_seconds * 1.3)
        time = control_axis(count)
        sweep_hz = self._kick_hz * (1.0 + 3.2 * np.exp(-time / 0.018) + 0.5 * np.exp(-time / 0.08))
        body = sine(sweep_hz, count) * decay(count, self._kick_seconds)
        self._add_stick(body, 0.25 * hardness, 0.02, band(1500.0, 9000.0, 1.0))
        return _finished(body, 1.0)

    def _add_stick(self, sound: Signal, level: float, seconds: float, response: Response) -> None:
        count = min(len(sound), samples(seconds * 1.3))
        burst = shaped_noise(self._rng, count, response) * decay(count, seconds)
        sound[:count] += burst * np.float32(level)

    def _snare(self, hardness: float) -> Signal:
        count = samples(self._snare_seconds * 1.3)
        time = control_axis(count)
        shell = np.zeros(count, np.float32)
        for ratio, level in ((1.0, 1.0), (1.58, 0.6), (2.24, 0.3)):
            bend_hz = self._snare_hz * ratio * (1.0 + 0.25 * np.exp(-time / 0.01))
            shell += level * sine(bend_hz, count)
        shell *= decay(count, self._snare_seconds * 0.55)
        wires = shaped_noise(self._rng, count, band(1400.0, 9000.0 + 3000.0 * hardness, 1.2))
        wires *= decay(count, self._snare_seconds)
        sound = 0.55 * shell + 0.33 * wires
        self._add_stick(sound, 0.5 * hardness, 0.015, band(3000.0, 16_000.0, 1.0))
        return _finished(sound, 0.85)

    def _tom(self, ratio: float, hardness: float) -> Signal:
        count = samples(0.55)
        time = control_axis(count)
        tone = np.zeros(count, np.float32)
        for mode, level, seconds in ((1.0, 1.0, 0.5), (1.59, 0.45, 0.25), (2.14, 0.25, 0.18)):
            bend_hz = self._tom_hz * ratio * mode * (1.0 + 0.3 * np.exp(-time / 0.03))
            tone += level * sine(bend_hz, count) * decay(count, seconds)
        self._add_stick(tone, 0.3 * hardness, 0.03, band(900.0, 9000.0, 1.0))
        return _finished(tone, 0.8)

    def _modes(self, lowest_hz: float, modes: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the frequencies (Hz) and amplitudes of a plate's modes, dense towards the top."""
        hz = lowest_hz * (19_000.0 / lowest_hz) ** np.sort(self._rng.random(modes) ** 0.7)
        return hz, self._rng.uniform(0.3, 1.0, modes)

    def _metal_sound(self, name: str, low_hz: float, decays: tuple[float, float, float]) -> Signal:
        """Ring a plate: modes over noise in three bands, the higher the sooner gone.

        A mode is one bin of a spectrum, so that all of them cost one inverse FFT a band.
        """
        count = samples(max(decays) * 1.05)
        length = scipy.fft.next_fast_len(count, real=True)
        hz = bins_hz(length)
        mode_hz, level = self._metal[name]
        noise = self._rng.standard_normal((2, len(hz)), np.float32)
        spectrum = (noise[0] + 1j * noise[1]).astype(np.complex64)
        lines = np.round(mode_hz / hz[1]).astype(np.int64)
        spectrum[lines] += level * 25.0 * np.sqrt(length / 44_100.0)
        tilt = (np.maximum(hz, 50.0) / 4000.0) ** np.float32(-0.65 + 0.2 * self._brightness)
        spectrum *= tilt * band(low_hz, 13_500.0, 3.0)(hz)
        sound = np.zeros(count, np.float32)
        # Weights that cross over within an octave or so and add up to one.
        above = [1.0 / (1.0 + (edge / np.maximum(hz, 1.0)) ** 4) for edge in (2500.0, 7500.0)]
        weights = (1.0 - above[0], above[0] * (1.0 - above[1]), above[0] * above[1])
        for weight, seconds in zip(weights, decays, strict=True):
            part = (spectrum * weight).astype(np.complex64)
            sound += scipy.fft.irfft(part, length)[:count] * decay(count, seconds)
        return to_peak(sound)

    def _closed_hat(self, hardness: float) -> Signal:
        seconds = self._hat_seconds
        sound = self._metal_sound(
            "hat", 5200.0 - 1200.0 * hardness, (seconds,) * 2 + (seconds * 2,)
        )
        return _finished(sound, 0.38)

    def _open_hat(self, hardness: float) -> Signal:
        return _finished(self._metal_sound("hat", 3800.0, (0.3, 0.5, 0.6)), 0.36)

    def _ride(self, hardness: float) -> Signal:
        sound = self._metal_sound("ride", 900.0, (0.9, 1.1, 0.6)) * np.float32(0.5)
        hz, level = self._metal["ride"]
        ping = (hz > 2500.0) & (hz < 6500.0)
        sound += ringing(len(sound), hz[ping], 0.5, 0.05 * level[ping])
        return _finished(sound, 0.33)

    def _crash(self, hardness: float) -> Signal:
        long = self._crash_seconds
        sound = self._metal_sound("crash", 420.0, (long, long * 0.9, long * 0.6))
        return _finished(fade_in(sound, 0.004), 0.55)


def _finished(sound: Signal, peak: float) -> Signal:
    return to_peak(fade_out(sound.astype(np.float32), 0.01), peak)
