import numpy as np
import pytest
from helpers.signals import RATE, music

from apollo_model.evaluation.metrics.hum import HUM_LIMIT_DB, NO_HUM_DB, HumReference

SAMPLES = 3 * RATE
TIME = np.arange(SAMPLES) / RATE


@pytest.fixture(scope="module")
def target() -> np.ndarray:
    """Noise with beats, and chords whose partials lie on multiples of 100 Hz among others."""
    pitches = (110.0, 138.6, 220.0, 300.0, 1100.0, 2200.0)
    chord = sum(np.sin(2 * np.pi * pitch * TIME + pitch) for pitch in pitches)
    return (music(3.0) + 0.02 * chord).astype(np.float32)


@pytest.fixture(scope="module")
def coded(target: np.ndarray) -> np.ndarray:
    return (0.98 * target + 0.05 * music(3.0, seed=1)).astype(np.float32)


def ripple(target: np.ndarray, level_db: float, kind: str) -> np.ndarray:
    lines = (1,) if kind == "sine" else range(1, 80)
    wave = sum(np.sin(2 * np.pi * 100 * line * TIME + line**2) for line in lines)
    size = np.sqrt(np.mean(target.astype(float) ** 2) / np.mean(wave**2))
    return (10 ** (level_db / 20) * size * wave).astype(np.float32)


@pytest.mark.parametrize("kind", ["sine", "comb"])
@pytest.mark.parametrize("level_db", [-40.0, -50.0])
def test_a_ripple_fails(target: np.ndarray, coded: np.ndarray, kind: str, level_db: float) -> None:
    reference = HumReference(target, coded, RATE)
    for clean in (target, coded):
        found = reference.hum_db(clean + ripple(target, level_db, kind))
        assert found == pytest.approx(level_db, abs=1.5)
        assert found > HUM_LIMIT_DB


def test_the_codec_passes_and_so_does_another_restoration(
    target: np.ndarray, coded: np.ndarray
) -> None:
    reference = HumReference(target, coded, RATE)
    assert reference.hum_db(coded) == NO_HUM_DB
    assert reference.hum_db(target) == NO_HUM_DB
    other = 0.5 * coded + 0.4 * target + 0.1 * music(3.0, seed=2)
    assert reference.hum_db(other) < HUM_LIMIT_DB


def test_lines_of_the_music_are_no_hum(target: np.ndarray, coded: np.ndarray) -> None:
    reference = HumReference(target, coded, RATE)
    louder = coded + 0.01 * np.sin(2 * np.pi * 1100 * TIME).astype(np.float32)
    assert reference.hum_db(louder) < HUM_LIMIT_DB


def test_other_rates_are_no_hum(target: np.ndarray, coded: np.ndarray) -> None:
    reference = HumReference(target, coded, RATE)
    tone = 0.01 * np.sin(2 * np.pi * 350 * TIME).astype(np.float32)
    assert reference.hum_db(coded + tone) < HUM_LIMIT_DB
