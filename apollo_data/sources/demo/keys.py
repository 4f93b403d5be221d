"""Keyboards: the piano with its stiff strings, drawbar organ, and FM electric pianos."""

import numpy as np

from apollo_data.sources.demo.signals import (
    HIGHEST_HZ,
    SHORT_LOOP_SAMPLES,
    NoiseLoop,
    Signal,
    band,
    cycle,
    decay,
    fade_in,
    fade_out,
    hertz,
    oscillate,
    phase_of,
    ringing,
    samples,
    sine,
    to_peak,
)


class Piano:
    """A grand or upright piano: inharmonic partials, beating strings, two-stage decay, hammer."""

    track_type = "grand piano"
    release_seconds = 0.14
    layered = True

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._stiffness = 10.0 ** rng.uniform(-3.7, -3.2)
        self._ring = rng.uniform(0.8, 1.3)
        self._tilt = rng.uniform(0.75, 1.25)
        self._detune = rng.uniform(0.0004, 0.0012)
        self._strike = 1.0 / rng.uniform(7.0, 9.0)
        self._felt = NoiseLoop(rng, band(90.0, 2200.0, 1.0), SHORT_LOOP_SAMPLES)
        self._wood = NoiseLoop(rng, band(4000.0, 15_000.0), SHORT_LOOP_SAMPLES)

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Strike one key; it rings for its natural length of at most 1.8 s."""
        frequency_hz = hertz(pitch)
        ring_seconds = self._ring * float(np.clip(9.0 * 2.0 ** (-(pitch - 40.0) / 14.0), 0.8, 9.0))
        count = samples(min(1.8, ring_seconds))
        # Stiffness grows towards the treble, where strings are short and thick.
        stiffness = self._stiffness * 2.0 ** (max(pitch - 48.0, 0.0) / 9.0)
        number = np.arange(1, 36)
        hz = frequency_hz * number * np.sqrt(1.0 + stiffness * number**2)
        number, hz = number[hz < 15_000.0], hz[hz < 15_000.0]
        level = np.abs(np.sin(np.pi * number * self._strike)) + 0.05
        level *= np.exp(-self._tilt * number * (0.16 if hardness > 0.7 else 0.24))
        seconds_each = ring_seconds / (1.0 + 0.18 * number)
        phase = self._rng.uniform(0.0, 2.0 * np.pi, len(hz))
        # Two strings a little apart, one of which sounds on: a tone that beats and decays twice.
        note = ringing(
            count,
            np.concatenate([hz, hz * (1.0 + self._detune)]),
            np.concatenate([seconds_each * 0.45, seconds_each]),
            np.concatenate([level * 0.65, level * 0.35]),
            np.concatenate([phase, phase]),
        )
        thump = self._felt.take(samples(0.09)) * decay(samples(0.09), 0.07)
        thump += 0.3 * self._wood.take(len(thump)) * decay(len(thump), 0.02)
        note = to_peak(fade_in(note, 0.0015))
        note[: len(thump)] += thump[:count] * np.float32(0.09 * hardness)
        return to_peak(fade_out(note, 0.05))


class OtherKeys:
    """An organ or an FM electric piano; `kind` is drawn for the song."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.kind = ("organ", "tine", "bell")[int(rng.integers(3))]
        organ = self.kind == "organ"
        self.track_type = "organ, electric organ" if organ else "electric piano"
        self.release_seconds = 0.07 if organ else 0.12
        self.layered = not organ
        self._drawbars = rng.uniform(0.1, 1.0, 9) * (rng.random(9) < 0.75)
        self._drawbars[[0, 2]] = rng.uniform(0.7, 1.0, 2)
        self._rotor_hz = float(rng.choice([0.8, 6.4]))
        self._index = rng.uniform(0.8, 1.3)
        self._contact = NoiseLoop(rng, band(1500.0, 14_000.0, 1.0))
        self._ratio = float(
            rng.choice([1.0, 2.0, 3.0] if self.kind == "tine" else [3.5, 1.41, 7.0])
        )

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Press one key for `seconds` (the FM keys decay by themselves)."""
        if self.kind == "organ":
            return self._organ(pitch, seconds)
        return self._modulated(pitch, hardness, min(seconds, 3.4))

    def _organ(self, pitch: float, seconds: float) -> Signal:
        count = samples(seconds)
        base_hz = hertz(pitch) / 2.0
        amplitudes = np.zeros(16, np.float32)
        amplitudes[[0, 2, 1, 3, 5, 7, 9, 11, 15]] = self._drawbars
        amplitudes = amplitudes[: max(1, int(HIGHEST_HZ / base_hz))]
        table = cycle(amplitudes, self._rng.uniform(0.0, 2.0 * np.pi, len(amplitudes)))
        rotor = sine(self._rotor_hz, count, self._rng.uniform(0.0, 2.0 * np.pi))
        tone = oscillate(table, phase_of(base_hz, count))
        tone = to_peak(np.tanh(tone * np.float32(0.7)) * (1.0 + np.float32(0.18) * rotor))
        # All contacts of a key do not close at once: the click.
        click = self._contact.take(count) * decay(count, 0.012)
        leak = self._contact.take(count) * np.float32(0.0025)
        return to_peak(fade_in(tone + leak, 0.004) + np.float32(0.12) * click)

    def _modulated(self, pitch: float, hardness: float, seconds: float) -> Signal:
        count = samples(max(seconds, 0.3))
        carrier_hz = hertz(pitch)
        ring_seconds = float(np.clip(6.0 * 2.0 ** (-(pitch - 48.0) / 18.0), 3.0, 6.0))
        # The index falls towards the treble: FM's side bands must stay below 20 kHz.
        index = self._index * (0.5 + hardness) * min(1.0, 2200.0 / (carrier_hz * self._ratio))
        strike = sine(carrier_hz * self._ratio, count) * decay(count, ring_seconds * 0.4)
        tone = sine(carrier_hz, count, strike * np.float32(1.6 * index))
        tine = sine(min(carrier_hz * 14.0, 18_000.0), count) * decay(count, 0.25)
        tone += np.float32(0.6) * sine(carrier_hz * 1.002, count, tine * np.float32(0.35 * index))
        tremolo = 1.0 + np.float32(0.15) * sine(4.7, count)
        note = to_peak(tone * decay(count, ring_seconds) * tremolo)
        knock = self._contact.take(samples(0.03))
        note[: len(knock)] += knock * decay(len(knock), 0.02) * np.float32(0.05 * hardness)
        return to_peak(fade_out(fade_in(note, 0.002), 0.02))
