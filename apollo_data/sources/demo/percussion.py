"""Shakers and hand percussion: the small instruments that a player holds or slaps."""

import numpy as np

from apollo_data.sources.demo.signals import (
    Signal,
    band,
    control_axis,
    decay,
    fade_in,
    fade_out,
    ringing,
    samples,
    shaped_noise,
    sine,
    time_axis,
    to_peak,
)


class HandPercussion:
    """A bag of small instruments, tuned anew for each song.

    Sounds: shaker, shaker_back, tambourine, conga_low, conga_high, conga_slap, block, cowbell.
    """

    release_seconds = 0.08
    layered = True

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._shaker_hz = rng.uniform(4500.0, 7500.0)
        self._jingles_hz = np.sort(rng.uniform(5000.0, 16_500.0, 48))
        self._conga_hz = rng.uniform(170.0, 230.0)
        self._block_hz = rng.uniform(800.0, 1300.0)
        self._bell_hz = rng.uniform(520.0, 640.0)

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Play one stroke; `pitch` has no meaning here."""
        played = {
            "shaker": lambda: self._shaker(0.022, 1.0),
            "shaker_back": lambda: self._shaker(0.035, 0.8),
            "tambourine": lambda: self._tambourine(hardness),
            "conga_low": lambda: self._conga(1.0, 0.45, 0.12),
            "conga_high": lambda: self._conga(1.33, 0.35, 0.15),
            "conga_slap": lambda: self._conga(1.42, 0.12, 0.8),
            "block": lambda: self._modal(self._block_hz, ((1.0, 1.0), (2.57, 0.5)), 0.12, 0.3),
            "cowbell": lambda: self._modal(
                self._bell_hz, ((1.0, 0.8), (1.48, 1.0), (2.98, 0.4), (4.4, 0.25)), 0.3, 0.15
            ),
        }[sound]()
        return fade_out(played.astype(np.float32), 0.01)

    def _shaker(self, swell_seconds: float, level: float) -> Signal:
        # Beads first gather, then hit the wall: a swell before the stroke's own decay.
        count = samples(0.16)
        beads = shaped_noise(self._rng, count, band(self._shaker_hz, 12_500.0, 2.0))
        time = time_axis(count)
        swell = np.minimum(time / np.float32(swell_seconds), 1.0) ** 2
        tail = np.exp(-np.maximum(time - swell_seconds, 0.0) * np.float32(6.9 / 0.11))
        return to_peak(beads * swell * tail, 0.6 * level)

    def _tambourine(self, hardness: float) -> Signal:
        count = samples(0.3)
        sound = 0.5 * shaped_noise(self._rng, count, band(5000.0, 13_000.0, 2.0))
        sound *= decay(count, 0.16)
        rings = self._rng.uniform(0.06, 0.22, len(self._jingles_hz))
        phases = self._rng.uniform(0.0, 2.0 * np.pi, len(rings))
        sound += ringing(count, self._jingles_hz, rings, 0.13, phases)
        skin = ringing(count, [310.0], 0.08, 0.5 * hardness)
        return to_peak(fade_in(sound, 0.002) + skin, 0.6)

    def _conga(self, ratio: float, seconds: float, slap: float) -> Signal:
        count = samples(max(seconds, 0.1) * 1.1)
        time = control_axis(count)
        tone = np.zeros(count, np.float32)
        for mode, level in ((1.0, 1.0), (1.52, 0.35), (2.03, 0.25), (2.6, 0.12)):
            bend_hz = self._conga_hz * ratio * mode * (1.0 + 0.08 * np.exp(-time / 0.02))
            tone += level * sine(bend_hz, count) * decay(count, seconds / mode)
        sound = (1.0 - 0.6 * slap) * tone
        short = samples(0.04)
        hand = shaped_noise(self._rng, short, band(700.0, 6000.0, 1.0)) * decay(short, 0.03)
        hand += 0.3 * shaped_noise(self._rng, short, band(6000.0, 17_000.0)) * decay(short, 0.02)
        sound[:short] += slap * hand
        return to_peak(sound, 0.9)

    def _modal(
        self,
        base_hz: float,
        modes: tuple[tuple[float, float], ...],
        seconds: float,
        knock: float,
    ) -> Signal:
        count = samples(seconds * 1.1)
        ratio, level = np.array(modes).T
        sound = ringing(count, base_hz * ratio, seconds / ratio**0.5, level)
        short = samples(0.015)
        stick = shaped_noise(self._rng, short, band(2000.0, 14_000.0, 1.0)) * decay(short, 0.01)
        sound[:short] += knock * stick
        return to_peak(sound, 0.7)
