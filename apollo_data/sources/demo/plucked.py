"""Plucked strings by Karplus-Strong: the bass, the guitars, and harp, banjo and others.

The string is a delay line fed back through a two-point average. Its transfer function is
known in closed form, so that a note is one product of spectra: exactly in tune at any pitch,
and as fast for the lowest string as for the highest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from apollo_data.sources.demo.signals import (
    SAMPLE_RATE,
    SHORT_LOOP_SAMPLES,
    NoiseLoop,
    Signal,
    band,
    band_pass,
    decay,
    fade_in,
    fade_out,
    filtered,
    hertz,
    samples,
    to_peak,
    white_noise,
)

# The spectrum is sampled on a circle of this radius to the power of the FFT length outside the
# unit circle, so that what the finite FFT wraps around comes back 60 dB weaker.
_WRAP_ATTENUATION = 1e3

Spectrum = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class StringBuild:
    """How an instrument's strings, pick, body and amplifier sound.

    `note_seconds` is how long a note is followed at most, `ring_seconds` the time in which its
    fundamental falls by 60 dB, `ring_4khz_seconds` that of its partials at 4 kHz. The pluck is
    dull above `pick_hz`, hits the string at `pick_position` of its length and scrapes it at
    the level `pick_noise`. `body` holds resonances: centre Hz, width Hz, level. `drive` is the
    gain before an overdriven amplifier, whose loudspeaker ends at `cabinet_hz`; 0 for neither.
    """

    track_type: str
    note_seconds: float
    ring_seconds: float
    ring_4khz_seconds: float
    pick_hz: float
    pick_position: float
    pick_noise: float
    body: tuple[tuple[float, float, float], ...]
    drive: float = 0.0
    cabinet_hz: float = 0.0


def _build(
    track_type: str,
    note_and_rings: tuple[float, float, float],
    pick: tuple[float, float, float],
    body: tuple[tuple[float, float, float], ...],
    amplifier: tuple[float, float] = (0.0, 0.0),
) -> StringBuild:
    return StringBuild(track_type, *note_and_rings, *pick, body, *amplifier)


_PLUCKED_TYPE = "banjo, mandolin, ukulele, harp etc"
_DOUBLE_BASS_TYPE = "contrabass/double bass (bass of instrings)"

FINGERED_BASS = _build("bass guitar", (2.6, 5.0, 0.35), (1400, 0.18, 0.05), ((90, 60, 0.6),))
PICKED_BASS = _build(
    "bass guitar", (2.6, 4.0, 0.6), (3500, 0.12, 0.12), ((110, 80, 0.4),), (1.5, 5500)
)
DOUBLE_BASS = _build(
    _DOUBLE_BASS_TYPE, (2.4, 1.9, 0.25), (900, 0.25, 0.06), ((62, 25, 0.9), (115, 40, 0.9))
)
STEEL_GUITAR = _build(
    "acoustic guitar",
    (1.8, 3.2, 0.9),
    (7000, 0.14, 0.16),
    ((102, 30, 0.7), (204, 40, 0.6), (410, 80, 0.35), (2900, 900, 0.4)),
)
CLEAN_GUITAR = _build(
    "clean electric guitar",
    (1.8, 4.0, 0.8),
    (5000, 0.22, 0.1),
    ((240, 150, 0.2), (2600, 1400, 0.5)),
    (0.8, 7500),
)
DISTORTED_GUITAR = _build(
    "distorted electric guitar",
    (1.8, 6.0, 1.2),
    (6000, 0.1, 0.12),
    ((130, 90, 0.3), (1900, 1200, 0.6)),
    (9.0, 5500),
)
HARP = _build(_PLUCKED_TYPE, (1.8, 3.6, 0.5), (3500, 0.45, 0.03), ((180, 80, 0.4), (420, 150, 0.3)))
BANJO = _build(
    _PLUCKED_TYPE,
    (1.0, 0.9, 0.3),
    (9000, 0.12, 0.2),
    ((330, 90, 0.9), (720, 160, 0.7), (3200, 1200, 0.4)),
)
MANDOLIN = _build(
    _PLUCKED_TYPE,
    (1.4, 1.5, 0.5),
    (9000, 0.1, 0.22),
    ((210, 60, 0.6), (440, 100, 0.5), (3600, 1500, 0.5)),
)
UKULELE = _build(
    _PLUCKED_TYPE, (1.2, 1.2, 0.25), (4500, 0.3, 0.1), ((270, 70, 0.8), (560, 120, 0.5))
)

BASSES = (FINGERED_BASS, PICKED_BASS, DOUBLE_BASS)
GUITARS = (STEEL_GUITAR, CLEAN_GUITAR, DISTORTED_GUITAR)
PLUCKED = (HARP, BANJO, MANDOLIN, UKULELE)


class PluckedStrings:
    """An instrument with one string for every pitch, plucked and left to ring."""

    def __init__(
        self, rng: np.random.Generator, builds: tuple[StringBuild, ...], release_seconds: float
    ) -> None:
        self._rng = rng
        self._build = builds[int(rng.integers(len(builds)))]
        self.track_type = self._build.track_type
        self.release_seconds = release_seconds
        self.layered = True
        self._pick = rng.uniform(0.8, 1.25, 3)  # brightness, position, ring
        self._body_ratio = rng.uniform(0.88, 1.14)
        self._count = samples(self._build.note_seconds)
        self._length = scipy.fft.next_fast_len(int(self._count * 1.1), real=True)
        self._radius_log = np.log(_WRAP_ATTENUATION) / self._length
        self._bins = self._length // 2 + 1
        self._one = self._delay(1.0)
        self._body = self._body_response()
        self._growth = np.exp(
            np.arange(self._count, dtype=np.float32) * np.float32(self._radius_log)
        )
        self._cabinet = band_pass(70.0, self._build.cabinet_hz or 20_000.0)
        self._scrape = NoiseLoop(rng, band(2500.0, 15_000.0, 1.0), SHORT_LOOP_SAMPLES)
        self._excitations: dict[float, Spectrum] = {}

    def play(self, sound: str, pitch: float, hardness: float, seconds: float) -> Signal:
        """Pluck the string of `pitch`; a hard pluck is brighter."""
        spectrum = self._excitation(hardness) * self._string(hertz(pitch))
        note = scipy.fft.irfft(spectrum, self._length)[: self._count] * self._growth
        # The pick leaves a string without the partials that have a node under it.
        comb = round(
            min(0.48, self._build.pick_position * self._pick[1]) * SAMPLE_RATE / hertz(pitch)
        )
        note[comb:] -= np.float32(0.9) * note[:-comb]
        note = to_peak(note)
        if self._build.drive:
            note = self._amplified(note, hardness)
        click = self._pick_click(hardness)
        note[: len(click)] += click
        return to_peak(fade_out(fade_in(note, 0.0008), 0.02))

    def _delay(self, delay_samples: float) -> Spectrum:
        """Return z**-delay on the sampled circle, complex64."""
        # A geometric series over the bins: the outer product of a coarse and a fine part.
        step = complex(0.0, -2.0 * np.pi * delay_samples / self._length)
        fine = np.exp(step * np.arange(256) - self._radius_log * delay_samples)
        coarse = np.exp(step * np.arange(0, self._bins, 256))
        series = np.multiply.outer(coarse.astype(np.complex64), fine.astype(np.complex64))
        return series.reshape(-1)[: self._bins]

    def _string(self, frequency_hz: float) -> Spectrum:
        period = SAMPLE_RATE / frequency_hz
        loss = 10.0 ** (-3.0 / (frequency_hz * self._build.ring_seconds * self._pick[2]))
        loss_high = 10.0 ** (-3.0 / (frequency_hz * self._build.ring_4khz_seconds * self._pick[2]))
        # The average (1-b) + b/z that loses what the string loses at 4 kHz in one period.
        turn = 1.0 - np.cos(2.0 * np.pi * 4000.0 / SAMPLE_RATE)
        product = min((1.0 - (loss_high / loss) ** 2) / (2.0 * turn), 0.25)
        b = 0.5 - np.sqrt(0.25 - product)
        turn_hz = 2.0 * np.pi * frequency_hz / SAMPLE_RATE
        lag = np.arctan2(b * np.sin(turn_hz), 1.0 - b + b * np.cos(turn_hz)) / turn_hz
        loop = (
            np.float32(loss)
            * self._delay(period - lag)
            * (np.float32(1.0 - b) + np.float32(b) * self._one)
        )
        return np.asarray(1.0 / (1.0 - loop))

    def _excitation(self, hardness: float) -> Spectrum:
        """Return the spectrum of the pluck: a short burst, duller when the pluck is soft."""
        if hardness in self._excitations:
            return self._excitations[hardness]
        count = samples(0.004)
        burst = white_noise(self._rng, count) * decay(count, 0.006) * np.float32(0.5)
        burst[: count // 8] += 1.0
        cut_hz = self._build.pick_hz * self._pick[0] * (0.45 + 0.55 * hardness)
        keep = np.float32(np.exp(-2.0 * np.pi * min(cut_hz, 20_000.0) / SAMPLE_RATE))
        lowpass = (1.0 - keep) / (1.0 - keep * self._one)
        spectrum = scipy.fft.rfft(burst, self._length) * lowpass * self._body
        self._excitations[hardness] = spectrum.astype(np.complex64)
        return self._excitations[hardness]

    def _body_response(self) -> Spectrum:
        """Return the direct sound plus the body's resonances, complex64."""
        body = np.ones(len(self._one), np.complex64)
        for centre_hz, width_hz, level in self._build.body:
            radius = np.exp(-np.pi * width_hz / SAMPLE_RATE)
            angle = 2.0 * np.pi * centre_hz * self._body_ratio / SAMPLE_RATE
            cosine = np.float32(2.0 * radius * np.cos(angle))
            top = np.float32(level * 2.0 * (1.0 - radius) * np.sin(min(angle * 4.0, 1.57)))
            body += top * 4.0 / (1.0 - cosine * self._one + np.float32(radius**2) * self._one**2)
        return body

    def _amplified(self, note: Signal, hardness: float) -> Signal:
        """Overdrive the note and play it through a loudspeaker cabinet."""
        drive = np.float32(self._build.drive * (0.6 + 0.4 * hardness))
        return to_peak(filtered(self._cabinet, np.tanh(note * drive)))

    def _pick_click(self, hardness: float) -> Signal:
        """Return the pick's scrape over the string, which reaches up to 20 kHz."""
        count = samples(0.02)
        scrape = fade_in(self._scrape.take(count) * decay(count, 0.012), 0.001)
        return scrape * np.float32(self._build.pick_noise * hardness)
