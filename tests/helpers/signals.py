"""Sounds for tests of codecs, and the lag between two of them."""

import numpy as np
import scipy.signal

RATE = 44100


def music(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Noise with music's falling spectrum and some beats, (2, samples)."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    noise = scipy.signal.lfilter([1.0], [1.0, -0.85], rng.normal(0, 0.05, (2, samples)))
    beats = 0.4 + 0.6 * np.abs(np.sin(np.pi * 3 * np.arange(samples) / RATE))
    return (noise * beats).astype(np.float32)


def lag_of(coded: np.ndarray, clean: np.ndarray) -> int:
    correlation = scipy.signal.correlate(coded[0], clean[0])
    return int(np.argmax(correlation)) - (clean.shape[1] - 1)
