"""Instruments that hold their notes: bowed ensemble, winds with breath, synthesiser pads."""

import math

import numpy as np

from apollo_data.sources.demo.signals import (
    CONTROL_SAMPLES,
    SHORT_LOOP_SAMPLES,
    NoiseLoop,
    Signal,
    band,
    control_axis,
    cycle,
    decay,
    fade_in,
    harmonics_below,
    hertz,
    oscillate,
    phase_of,
    samples,
    time_axis,
    to_peak,
    vibrato,
)


def _peaks(hz: Signal, formants: np.ndarray) -> Signal:
    """Return 1 plus bell curves over log frequency; rows are centre Hz, octaves, height."""
    octave = np.log2(np.maximum(hz, 1.0))[:, None] - np.log2(formants[:, 0])
    bells = formants[:, 2] * np.exp(-0.5 * np.square(octave / formants[:, 1]))
    return (1.0 + bells.sum(axis=1)).astype(np.float32)


class BowedEnsemble:
    """A section of three players on each part, each with a vibrato, place and bow of their own.

    Sounds: violins, cellos.
    """

    release_seconds = 0.16
    layered = True
    _PLAYERS = 3

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        ratio = rng.uniform(0.9, 1.12)
        body = np.array([(285, 0.2, 1.2), (470, 0.2, 1.6), (980, 0.3, 0.9), (2600, 0.45, 2.0)])
        self._body = body * (ratio, 1.0, 1.0)
        self._rate_hz = rng.uniform(4.9, 6.1)
        self._depth = rng.uniform(0.15, 0.32)
        self._attack_seconds = rng.uniform(0.06, 0.14)
        self._bow_noise = rng.uniform(0.011, 0.02)
        self._rosin = NoiseLoop(rng, band(1800.0, 13_000.0, 0.8))

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Bow one note, (2, samples)."""
        count = samples(seconds)
        body = self._body / (2.1, 1.0, 1.0) if sound == "cellos" else self._body
        numbers = harmonics_below(hertz(pitch))
        tilt = 1.15 if hardness > 0.7 else 1.35
        amplitudes = numbers**-tilt * _peaks(numbers * hertz(pitch), body)
        amplitudes *= band(60.0, 7500.0, 1.5)(numbers * hertz(pitch))
        table = cycle(amplitudes)  # all sines in phase: the bow's sawtooth
        note = np.zeros((2, count), np.float32)
        for player in range(self._PLAYERS):
            place = (player + 0.5) / self._PLAYERS
            tone = oscillate(table, self._phase(pitch, count))
            note[0] += tone * np.float32(np.cos(place * np.pi / 2.0))
            note[1] += tone * np.float32(np.sin(place * np.pi / 2.0))
        scrape = 1.0 + np.float32(4.0) * decay(count, 0.2)
        note += self._rosin.take(count) * scrape * np.float32(self._bow_noise * self._PLAYERS * 0.7)
        return to_peak(fade_in(note, self._attack_seconds))

    def _phase(self, pitch: float, count: int) -> np.ndarray:
        rng = self._rng
        swing = vibrato(
            count, self._rate_hz * rng.uniform(0.93, 1.07), self._depth, 0.12, rng.random()
        )
        cents = rng.normal(0.0, 5.0)
        return phase_of(hertz(pitch + cents / 100.0) * swing, count, rng.random())


class Wind:
    """One player of a flute, clarinet, saxophone or trumpet; `kind` is drawn for the song."""

    release_seconds = 0.1
    layered = True
    _KINDS = ("flute", "clarinet", "saxophone", "trumpet")

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.kind = self._KINDS[int(rng.integers(4))]
        self.track_type = {
            "flute": "flutes (piccolo, bamboo flute, panpipes, flutes etc)",
            "trumpet": "brass (trumpet, trombone, french horn, brass etc)",
        }.get(self.kind, "reeds (saxophone, clarinets, oboe, english horn, bagpipe)")
        self._colour = rng.uniform(0.85, 1.15)
        self._rate_hz = rng.uniform(4.4, 5.6)
        self._breath = {"flute": 0.045, "clarinet": 0.018, "saxophone": 0.03, "trumpet": 0.015}[
            self.kind
        ]
        self._breath *= rng.uniform(0.8, 1.3)
        tube, mouth = band(700.0, 5000.0, 1.0), band(5000.0, 16_000.0, 1.2)
        self._air = NoiseLoop(rng, lambda hz: tube(hz) + np.float32(0.35) * mouth(hz))
        self._tongue = NoiseLoop(rng, band(1500.0, 14_000.0, 1.0), SHORT_LOOP_SAMPLES)

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Blow one note; the tone brightens as the pressure rises."""
        count = samples(seconds)
        depth = 0.2 if self.kind == "flute" else 0.12
        swing = vibrato(count, self._rate_hz, depth, 0.25, self._rng.random())
        scoop = 1.0 - np.float32(0.02) * np.exp(control_axis(count) * np.float32(-57.0))
        phase = phase_of(hertz(pitch) * swing * scoop, count)
        soft, loud = (oscillate(self._table(pitch, steep), phase) for steep in (1.6, 1.0))
        time = time_axis(count)
        pressure = np.minimum(time / np.float32(0.09), 1.0) * np.float32(0.5 + 0.5 * hardness)
        tone = soft + (loud - soft) * pressure
        chiff = 1.0 + np.float32(3.0) * decay(count, 0.12)
        tongue = self._tongue.take(min(count, samples(0.04)))
        tone += self._air.take(count) * chiff * np.float32(self._breath)
        tongue *= decay(len(tongue), 0.03) * np.float32(0.25 * self._breath + 0.05 * hardness)
        tone[: len(tongue)] += tongue
        return to_peak(fade_in(tone, 0.03 if self.kind == "trumpet" else 0.05))

    def _table(self, pitch: float, steepness: float) -> Signal:
        frequency_hz = hertz(pitch)
        numbers = harmonics_below(frequency_hz)
        hz = numbers * frequency_hz
        if self.kind == "flute":
            amplitudes = np.exp(-steepness * self._colour * 0.8 * (numbers - 1.0))
            amplitudes += 0.02 * numbers**-1.5
        elif self.kind == "clarinet":
            odd = np.where(numbers % 2 == 1, 1.0, np.minimum(hz / 9000.0, 0.6))
            amplitudes = (
                odd * numbers**-0.7 / (1.0 + (hz / (1700.0 * self._colour)) ** (steepness * 2))
            )
        else:
            centre_hz = (1300.0 if self.kind == "trumpet" else 720.0) * self._colour
            bells = np.array([(centre_hz, 0.7, 1.6), (centre_hz * 2.9, 0.4, 0.8)])
            roll_off = 1.0 + (hz / (2.2 * centre_hz)) ** (1.3 + steepness)
            amplitudes = numbers**-0.4 * _peaks(hz, bells) / roll_off
        return cycle(amplitudes.astype(np.float32), 2.4 * numbers)


class Pad:
    """A synthesiser pad: detuned saws and air, wide, opening slowly."""

    track_type = "fx"
    release_seconds = 0.28
    layered = False

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._detune_cents = rng.uniform(6.0, 14.0)
        self._cut_hz = rng.uniform(900.0, 2600.0)
        self._sweep_hz = rng.uniform(0.15, 0.5)
        self._hollow = rng.random() < 0.4
        self._air_level = rng.uniform(0.04, 0.08)
        self._air = NoiseLoop(rng, band(3000.0, 15_000.0, 1.0))
        self._attack_seconds = rng.uniform(0.12, 0.3)

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Hold one note, (2, samples)."""
        count = samples(seconds)
        numbers = harmonics_below(hertz(pitch))
        hz = numbers * hertz(pitch)
        saw = np.where(numbers % 2 == 0, 0.15 if self._hollow else 1.0, 1.0) / numbers
        dark, bright = (
            cycle(saw / (1.0 + (hz / cut) ** 2.2), self._rng.uniform(0.0, 2.0 * math.pi, len(hz)))
            for cut in (self._cut_hz, self._cut_hz * 3.5)
        )
        turn = (control_axis(count) * self._sweep_hz + self._rng.random()) * (2.0 * math.pi)
        opening = np.repeat(0.4 - 0.4 * np.cos(turn), CONTROL_SAMPLES)[:count]
        note = np.empty((2, count), np.float32)
        for side, cents in ((0, self._detune_cents), (1, -self._detune_cents)):
            tone = oscillate(
                dark, phase_of(hertz(pitch + cents / 100.0), count, self._rng.random())
            )
            beside = phase_of(hertz(pitch - cents / 60.0), count, self._rng.random())
            bloom = oscillate(bright, beside)
            bloom += self._air.take(count) * np.float32(self._air_level)
            np.add(tone, np.multiply(bloom, opening, out=bloom), out=note[side])
        return to_peak(fade_in(note, self._attack_seconds))
