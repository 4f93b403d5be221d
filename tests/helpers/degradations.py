"""A sound and what may become of it, the same on every machine, for tests of metrics."""

import numpy as np
import scipy.signal

RATE = 48000


def sound(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Chords, noise and beats, (samples,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitches = 110 * 2 ** (rng.integers(0, 48, 8) / 12)
    chord = sum(np.sin(2 * np.pi * pitch * time) / (n + 2) for n, pitch in enumerate(pitches))
    noise = scipy.signal.lfilter([1.0], [1.0, -0.8], rng.normal(0, 0.3, len(time)))
    beats = 0.2 + np.exp(-8 * (time % 0.4))
    return 0.1 * (chord + noise * beats)


def low_passed(audio: np.ndarray, hertz: float) -> np.ndarray:
    sections = scipy.signal.butter(10, hertz, fs=RATE, output="sos")
    return scipy.signal.sosfilt(sections, audio)


def degradations(clean: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.02, len(clean))
    return {
        "same": clean,
        "quiet": 0.05 * clean,
        "low-pass 3.5 kHz": low_passed(clean, 3500),
        "low-pass 7 kHz": low_passed(clean, 7000),
        "low-pass 14 kHz": low_passed(clean, 14000),
        "noise": clean + noise,
        "late": np.concatenate((np.zeros(1234), low_passed(clean, 9000)[:-1234])),
        "early and short": low_passed(clean, 9000)[777:-5000],
        "gap": np.where((np.arange(len(clean)) // 9600) % 4 == 3, 0.0, clean),
        "8 bits": np.round(clean * 64) / 64,
        "backwards": clean[::-1].copy(),
    }
