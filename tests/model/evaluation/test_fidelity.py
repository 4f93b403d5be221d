import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.functional.audio import (
    scale_invariant_signal_noise_ratio,
    signal_distortion_ratio,
)

from apollo_model.evaluation.metrics import LIMIT_DB, is_silent, sdr, si_snr

METRICS = [si_snr, sdr]


def music(channels: int = 2, samples: int = 6000, seed: int = 0) -> np.ndarray:
    """Coloured noise with an envelope: neither white nor steady."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((channels, samples + 8))
    coloured = sum(white[:, lag : lag + samples] * 0.8**lag for lag in range(8))
    return 0.1 * coloured * (1.2 + np.sin(np.arange(samples) / 500))


def own_si_snr(estimate: np.ndarray, target: np.ndarray) -> float:
    scores = []
    for found, wanted in zip(estimate, target, strict=True):
        found, wanted = found - found.mean(), wanted - wanted.mean()
        cosine = found @ wanted / np.linalg.norm(found) / np.linalg.norm(wanted)
        scores.append(10 * np.log10(cosine**2 / (1 - cosine**2)))
    return float(np.mean(scores))


def own_sdr(estimate: np.ndarray, target: np.ndarray, taps: int = 512) -> float:
    """Find the best filter from the correlations, apply it, and measure what it leaves."""
    scores = []
    for found, wanted in zip(estimate, target, strict=True):
        found, wanted = found - found.mean(), wanted - wanted.mean()
        lags = slice(len(wanted) - 1, len(wanted) - 1 + taps)
        own = np.correlate(wanted, wanted, "full")[lags]
        cross = np.correlate(found, wanted, "full")[lags]
        explained = np.convolve(wanted, scipy.linalg.solve_toeplitz(own, cross))
        rest = np.concatenate((found, np.zeros(taps - 1))) - explained
        scores.append(10 * np.log10((explained**2).sum() / (rest**2).sum()))
    return float(np.mean(scores))


@pytest.mark.parametrize("level", [0.01, 0.3, 3.0])
def test_agree_with_formulas_of_their_own(level: float) -> None:
    target = music(samples=3000)
    estimate = target + level * music(samples=3000, seed=1) + 0.05
    assert float(si_snr(estimate, target)) == pytest.approx(own_si_snr(estimate, target), abs=1e-6)
    assert float(sdr(estimate, target)) == pytest.approx(own_sdr(estimate, target), abs=1e-3)


@pytest.mark.parametrize("level", [0.003, 0.3])
def test_agree_with_torchmetrics(level: float) -> None:
    target = torch.from_numpy(music(samples=44100))
    estimate = target + level * torch.from_numpy(music(samples=44100, seed=1))
    theirs = signal_distortion_ratio(estimate, target, zero_mean=True).mean()
    assert float(sdr(estimate, target)) == pytest.approx(float(theirs), abs=0.002)
    theirs = scale_invariant_signal_noise_ratio(estimate, target).mean()
    assert float(si_snr(estimate, target)) == pytest.approx(float(theirs), abs=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_gain_and_offset_are_forgiven(metric: object) -> None:
    target = music()
    estimate = target + 0.2 * music(seed=1)
    score = float(metric(estimate, target))
    assert float(metric(0.01 * estimate, target)) == pytest.approx(score, abs=1e-6)
    assert float(metric(-3 * estimate, target)) == pytest.approx(score, abs=1e-6)
    assert float(metric(estimate + 0.5, target - 0.25)) == pytest.approx(score, abs=1e-6)
    assert float(metric(estimate, 0.1 * target)) == pytest.approx(score, abs=1e-6)


def test_sdr_works_after_the_number_of_threads_was_set() -> None:
    # torch's batched linear solver does not (pytorch issue 142815).
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert float(sdr(music() + 0.1 * music(seed=1), music())) == pytest.approx(20.5, abs=1.0)
    finally:
        torch.set_num_threads(before)


def test_one_sample_of_delay_costs_si_snr_everything_and_sdr_little() -> None:
    target = np.random.default_rng(0).standard_normal((2, 20000))
    late = np.concatenate((np.zeros((2, 1)), target[:, :-1]), 1)
    assert float(si_snr(late, target)) < -20
    assert float(sdr(late, target)) > 30
    early = np.concatenate((target[:, 1:], np.zeros((2, 1))), 1)
    assert float(sdr(early, target)) < 10


def test_swapped_channels_are_not_forgiven() -> None:
    target = music()
    for metric in METRICS:
        assert float(metric(target[::-1].copy(), target)) < 0


@pytest.mark.parametrize("metric", METRICS)
def test_channels_are_averaged_in_decibels(metric: object) -> None:
    target = music()
    estimate = target + np.array([[0.01], [1.0]]) * music(seed=1)
    left, right = (float(metric(estimate[c : c + 1], target[c : c + 1])) for c in range(2))
    assert float(metric(estimate, target)) == pytest.approx((left + right) / 2, abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_a_batch_has_a_score_for_each_item(metric: object) -> None:
    targets = torch.from_numpy(np.stack([music(seed=seed) for seed in range(3)]))
    estimates = targets + 0.1 * targets.flip(0)
    scores = metric(estimates, targets)
    assert scores.shape == (3,)
    assert scores.dtype == torch.float64
    for item in range(3):
        alone = float(metric(estimates[item].float(), targets[item].float()))
        assert float(scores[item]) == pytest.approx(alone, abs=1e-3)


STRANGE = {
    "noise": np.random.default_rng(0).standard_normal((1, 4000)),
    "tone": np.sin(np.arange(4000) * 0.05)[None],
    "impulse": np.eye(1, 4000, 100),
    "step": np.repeat([0.0, 1.0], 2000)[None],
    "square": np.sign(np.sin(np.arange(4000) * 0.05 + 0.1))[None],
    "short": np.random.default_rng(0).standard_normal((1, 20)),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", STRANGE)
def test_strange_signals_have_finite_scores(metric: object, name: str) -> None:
    target = STRANGE[name]
    assert float(metric(target, target)) == LIMIT_DB
    assert float(metric(0.1 * target, target)) == LIMIT_DB
    assert float(metric(0 * target, target)) == -LIMIT_DB
    assert abs(float(metric(np.roll(target, 7), target))) <= LIMIT_DB


def test_silence_is_told() -> None:
    assert is_silent(np.zeros((2, 100)))
    assert is_silent(torch.full((2, 100), 0.25))
    assert not is_silent(np.array([[0.0, 0.0], [0.0, 1 / 32768]]))
    assert not is_silent(music())


@pytest.mark.parametrize("metric", METRICS)
def test_a_silent_reference_is_refused(metric: object) -> None:
    with pytest.raises(ValueError, match=r"^silent reference$"):
        metric(music(), 0 * music())
    batch = np.stack((music(), 0 * music()))
    with pytest.raises(ValueError, match=r"^silent reference$"):
        metric(batch, batch)


@pytest.mark.parametrize("metric", METRICS)
def test_a_silent_channel_is_left_out(metric: object) -> None:
    target, estimate = music(), music() + 0.1 * music(seed=1)
    target[1] = 0.0
    assert not is_silent(target)
    alone = float(metric(estimate[:1], target[:1]))
    assert float(metric(estimate, target)) == pytest.approx(alone, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_what_cannot_be_scored_is_refused(metric: object) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        metric(music(1), music(2))
    with pytest.raises(ValueError, match="must be"):
        metric(music()[0], music()[0])
    broken = music()
    broken[0, 5] = np.nan
    with pytest.raises(ValueError, match="estimate is not finite"):
        metric(broken, music())
    with pytest.raises(ValueError, match="target is not finite"):
        metric(music(), broken)
