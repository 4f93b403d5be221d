"""A singing voice: glottal pulses and breath through formants, with consonants."""

import numpy as np

from apollo_data.sources.demo.signals import (
    SHORT_LOOP_SAMPLES,
    NoiseLoop,
    Signal,
    band,
    band_pass,
    control_axis,
    cycle,
    decay,
    fade_in,
    fade_out,
    filtered,
    harmonics_below,
    hertz,
    oscillate,
    phase_of,
    radians,
    resonators,
    root_mean_square,
    samples,
    to_peak,
    to_rms,
    vibrato,
)

VOWELS = {
    "a": (730.0, 1150.0, 2500.0),
    "e": (500.0, 1800.0, 2500.0),
    "i": (290.0, 2250.0, 3000.0),
    "o": (480.0, 850.0, 2450.0),
    "u": (330.0, 700.0, 2300.0),
}
"""First three formants in Hz of a low voice; higher voices scale them up."""

# Noise of each consonant: low and high edge in Hz, seconds, level beside the vowel.
FRICATIVES = {
    "s": (5500.0, 15_000.0, 0.11, 0.20),
    "sh": (2400.0, 9000.0, 0.11, 0.22),
    "f": (1500.0, 16_000.0, 0.09, 0.09),
    "h": (600.0, 9000.0, 0.07, 0.12),
}
STOPS = {
    "t": (3500.0, 15_000.0, 0.05, 0.35),
    "k": (1500.0, 9000.0, 0.06, 0.35),
    "p": (400.0, 7000.0, 0.04, 0.25),
}
VOICED = {"m": (250.0, 1000.0, 2200.0), "n": (270.0, 1500.0, 2400.0), "l": (360.0, 1200.0, 2700.0)}
CONSONANTS = ("", *FRICATIVES, *STOPS, *VOICED)

# Beyond the third the formants hardly move.
_HIGH_FORMANTS_HZ = (3500.0, 4600.0)
_WIDTHS_HZ = (75.0, 95.0, 130.0, 200.0, 260.0)


class Voice:
    """One singer, who also sings the choir behind: every note of it has a vibrato of its own.

    A sound is "lead:CONSONANT:VOWEL", "back:CONSONANT:VOWEL" or "breath".
    """

    release_seconds = 0.09
    layered = False

    def __init__(self, rng: np.random.Generator, high: bool) -> None:
        self._rng = rng
        kind = "lead female singer" if high else "lead male singer"
        self.track_type = kind
        self._tract = (1.17 if high else 1.0) * rng.uniform(0.95, 1.06)
        self._tilt = rng.uniform(1.05, 1.35)
        self._breathiness = rng.uniform(0.03, 0.07)
        self._rate_hz = rng.uniform(5.0, 6.3)
        self._depth = rng.uniform(0.2, 0.5)
        self._breath = NoiseLoop(rng, band(1200.0, 14_000.0, 0.7))
        self._air = NoiseLoop(rng, band(6000.0, 14_000.0, 1.0))
        self._high = band_pass(3800.0, 8500.0)
        self._noises: dict[str, NoiseLoop] = {}

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Sing one syllable, (samples,)."""
        if sound == "breath":
            return self._inhale()
        _, consonant, vowel = sound.split(":")
        return to_peak(self._syllable(consonant, vowel, pitch, hardness, seconds))

    def _formants(self, vowel: tuple[float, float, float]) -> Signal:
        centres = [hz * self._tract for hz in (*vowel, *_HIGH_FORMANTS_HZ)]
        return resonators(list(zip(centres, _WIDTHS_HZ, strict=True)))

    def _glottis(self, pitch: float, count: int, hardness: float) -> Signal:
        """Return the flow's derivative, which the lips radiate, with breath in its open phase."""
        rng = self._rng
        time = control_axis(count)
        glide = -rng.uniform(0.2, 0.9) * np.exp(time * np.float32(-43.0))
        drift = 0.04 * np.sin(time * np.float32(2.0 * np.pi * 1.7) + rng.uniform(0, 6))
        bend = np.exp((glide + drift) * np.float32(np.log(2.0) / 12.0))
        swing = vibrato(
            count, self._rate_hz * rng.uniform(0.96, 1.04), self._depth, 0.22, rng.random()
        )
        phase = phase_of(hertz(pitch + rng.normal(0.0, 0.04)) * swing * bend, count)
        numbers = harmonics_below(hertz(pitch) * 1.05)
        tilt = self._tilt - 0.35 * (hardness - 0.6)
        pulse = oscillate(cycle(numbers**-tilt, 0.5 * numbers**-0.5), phase)
        gate = np.float32(0.6) + np.float32(0.4) * np.cos(radians(phase))
        return pulse + self._breath.take(count) * gate * np.float32(self._breathiness)

    def _syllable(
        self, consonant: str, vowel: str, pitch: float, hardness: float, seconds: float
    ) -> Signal:
        count = samples(max(seconds, 0.12))
        onset = self._onset_seconds(consonant)
        first = min(samples(onset), count // 2)
        source = self._glottis(pitch, count - first if consonant not in VOICED else count, hardness)
        mouth = filtered(self._formants(VOWELS[vowel]), source)
        level = root_mean_square(mouth)
        if consonant in VOICED:
            self._close_mouth(mouth, source, VOICED[consonant], first)
            mouth /= np.float32(level)
            mouth[first:] += self._presence(source[first:], 0.15 if vowel in "ou" else 0.35)
            return fade_in(mouth, 0.03)
        mouth = self._open_from(mouth, source) / np.float32(level)
        mouth += self._presence(source, 0.15 if vowel in "ou" else 0.35)
        sung = np.zeros(count, np.float32)
        sung[first:] = fade_in(mouth, 0.025)
        self._add_noise(sung, consonant, first)
        return sung

    def _onset_seconds(self, consonant: str) -> float:
        if consonant in VOICED:
            return 0.07
        return {**FRICATIVES, **STOPS}.get(consonant, (0.0, 0.0, 0.0, 0.0))[2]

    def _close_mouth(
        self, mouth: Signal, source: Signal, murmur: tuple[float, float, float], first: int
    ) -> None:
        """Replace the start of the vowel with a murmur that glides into it, in place."""
        length = min(len(mouth), first * 2)
        closed = filtered(self._formants(murmur), source[:length])
        closed = to_rms(closed, 0.5 * root_mean_square(mouth))
        weight = np.clip(np.arange(length) / first - 0.5, 0.0, 1.0).astype(np.float32)
        mouth[:length] = mouth[:length] * weight + closed * (1.0 - weight)

    def _open_from(self, mouth: Signal, source: Signal) -> Signal:
        """Let the formants travel into the vowel from a half-closed mouth over 60 ms."""
        length = min(len(mouth), samples(0.06))
        before = filtered(self._formants((380.0, 1500.0, 2500.0)), source[:length])
        weight = np.linspace(0.0, 1.0, length, dtype=np.float32)
        mouth[:length] = mouth[:length] * weight + before * (1.0 - weight)
        return mouth

    def _presence(self, source: Signal, level: float) -> Signal:
        """Return what passes the mouth beyond the fifth formant, harmonics and air up to 20 kHz."""
        air = self._air.take(len(source)) * np.float32(0.4 * self._breathiness)
        return (filtered(self._high, source) + air) * np.float32(level)

    def _add_noise(self, sung: Signal, consonant: str, first: int) -> None:
        """Put a fricative's hiss or a stop's burst before the vowel, in place."""
        if consonant in FRICATIVES:
            level = FRICATIVES[consonant][3]
            count = min(len(sung), first + samples(0.03))
            hiss = fade_out(fade_in(self._noise(consonant, count), 0.03), 0.04)
            sung[:count] += hiss * np.float32(level * 1.6)
        elif consonant in STOPS:
            level = STOPS[consonant][3]
            start = max(0, first - samples(0.035))
            count = min(len(sung) - start, samples(0.06))
            burst = self._noise(consonant, count)
            sung[start : start + count] += burst * decay(count, 0.05) * np.float32(level * 1.8)

    def _noise(self, consonant: str, count: int) -> Signal:
        if consonant not in self._noises:
            low_hz, high_hz, _, _ = {**FRICATIVES, **STOPS}[consonant]
            self._noises[consonant] = NoiseLoop(
                self._rng, band(low_hz, high_hz, 2.0), SHORT_LOOP_SAMPLES
            )
        return self._noises[consonant].take(count)

    def _inhale(self) -> Signal:
        count = samples(0.3)
        throat = self._formants((600.0, 1600.0, 2700.0))
        air = to_rms(filtered(throat, self._noise("h", count)))
        air += 0.3 * self._air.take(count)
        return to_peak(fade_out(fade_in(air, 0.15), 0.1), 0.14)
