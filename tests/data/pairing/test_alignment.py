"""Lags to the sample, through everything that a degraded side may have gone through."""

import numpy as np
import pytest
import scipy.signal
from helpers.small_songs import RATE, tone

from apollo_data.pairing.alignment import align

REACH = 30_000


def music(name: str, seconds: float = 6.0) -> np.ndarray:
    return tone(name, seconds).mean(axis=1)


@pytest.mark.parametrize("lag", [0, 1, 1105, 20_000, -1, -1105, -20_000])
def test_a_shift_is_found_to_the_sample(lag: int) -> None:
    sound = music("a")
    shifted = np.concatenate([np.zeros(lag), sound]) if lag > 0 else sound[-lag:]
    found = align(sound, shifted.astype(np.float32), RATE, REACH)
    assert found.lag_samples == lag
    assert found.correlation > 0.9


def test_noise_and_level_do_not_move_it() -> None:
    sound = music("a")
    noise = np.random.default_rng(0).normal(0, sound.std(), len(sound) + 500)
    later = 0.01 * (np.concatenate([np.zeros(500), sound]) + noise)
    assert align(sound, later.astype(np.float32), RATE, REACH).lag_samples == 500


def test_a_telephone_band_moves_it_by_the_filters_own_delay_only() -> None:
    sound = music("a")
    band = scipy.signal.butter(4, [300, 3400], "band", fs=RATE, output="sos")
    narrow = scipy.signal.sosfiltfilt(band, np.concatenate([np.zeros(777), sound]))
    found = align(sound, narrow.astype(np.float32), RATE, REACH)
    assert found.lag_samples == 777
    assert found.correlation > 0.15


def test_other_music_and_silence_do_not_match() -> None:
    assert abs(align(music("a"), music("b"), RATE, REACH).correlation) < 0.05
    assert align(music("a"), np.zeros(6 * RATE, np.float32), RATE, REACH).correlation == 0.0


def test_turned_polarity_is_negative() -> None:
    assert align(music("a"), -music("a"), RATE, REACH).correlation == pytest.approx(-1, abs=1e-3)


def test_the_reach_may_be_longer_than_the_sound() -> None:
    sound = music("a", 0.5)
    assert align(sound, sound[100:], RATE, 100 * RATE).lag_samples == -100
