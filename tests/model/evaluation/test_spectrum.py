import numpy as np
import pytest
import scipy.signal
import torch
from helpers.signals import music

from apollo_model.evaluation.metrics import log_spectral_distance, multi_resolution_distance
from apollo_model.evaluation.metrics.spectrum import SpectralReference, Spectrum

RATE = 44100


def low_passed(audio: np.ndarray, hertz: float) -> np.ndarray:
    taps = scipy.signal.firwin(511, hertz, fs=RATE, window=("kaiser", 9.0))
    return scipy.signal.convolve(audio, taps[None], mode="same").astype(np.float32)


def test_ten_decibels_are_a_distance_of_one() -> None:
    target = music()
    assert log_spectral_distance(target, target) == 0
    assert log_spectral_distance(10**0.5 * target, target) == pytest.approx(1.0, abs=1e-3)
    assert log_spectral_distance(10**-0.5 * target, target) == pytest.approx(1.0, abs=1e-3)


def test_agrees_with_the_formula_in_plain_numpy() -> None:
    target, other = music(0.5), music(0.5, seed=1)
    distances = []
    for found, wanted in zip(other, target, strict=True):
        logs = []
        for audio in (found, wanted):
            *_, spectrum = scipy.signal.stft(
                audio, nperseg=2048, noverlap=1536, boundary=None, padded=False
            )
            logs.append(np.log10(np.abs(spectrum) ** 2))
        frames = min(part.shape[1] for part in logs)
        squares = (logs[0][:, :frames] - logs[1][:, :frames]) ** 2
        distances.append(np.sqrt(squares.mean(0)).mean())
    assert log_spectral_distance(other, target) == pytest.approx(np.mean(distances), rel=0.01)


def test_rounding_to_16_bits_is_no_distance() -> None:
    target = low_passed(music(), 5000)
    rounded = (np.round(target * 32767) / 32767).astype(np.float32)
    assert log_spectral_distance(rounded, target) < 0.05


def test_the_multi_resolution_distance_is_the_papers_loss() -> None:
    target, other = music(1.0), low_passed(music(1.0), 8000)
    expected = []
    for window in (32, 64, 128, 256, 512, 1024, 2048):
        found, wanted = (
            torch.stft(
                torch.from_numpy(np.ascontiguousarray(audio)),
                window,
                window // 2,
                window=torch.hann_window(window),
                return_complex=True,
            ).abs()
            for audio in (other, target)
        )
        expected.append(float((found - wanted).abs().mean() / wanted.mean()))
    assert multi_resolution_distance(other, target) == pytest.approx(np.mean(expected), rel=1e-4)
    assert multi_resolution_distance(0 * target, target) == pytest.approx(1.0, abs=1e-6)
    assert multi_resolution_distance(target, target) == 0


@pytest.mark.parametrize("hertz", [4000, 11000, 16000])
def test_the_edge_is_where_the_low_pass_is(hertz: float) -> None:
    target = music()
    coded = low_passed(target, hertz)
    reference = SpectralReference(target, coded)
    assert reference.edge_hz == pytest.approx(hertz, abs=300)
    assert reference.spectral_edge_hz(Spectrum.of(target)) > 21500
    quieter_one = SpectralReference(target, 0.5 * coded)
    assert quieter_one.edge_hz == pytest.approx(hertz, abs=300)


def test_levels_above_the_edge_are_compared_there_alone() -> None:
    target = music()
    coded = low_passed(target, 8000)
    reference = SpectralReference(target, coded)
    missing = reference.level_error_above_db(Spectrum.of(coded))
    assert missing is not None
    assert missing > 20
    high = target - coded
    assert reference.level_error_above_db(Spectrum.of(3 * coded + high)) < 1.0
    quieter = reference.level_error_above_db(Spectrum.of(coded + high / 2))
    assert quieter == pytest.approx(6.0, abs=1.0)
    assert SpectralReference(target, target).level_error_above_db(Spectrum.of(target)) is None


def test_what_cannot_be_compared_is_refused() -> None:
    target = music(0.5)
    broken = target.copy()
    broken[0, 100] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        log_spectral_distance(broken, target)
    with pytest.raises(ValueError, match="differ in shape"):
        log_spectral_distance(target[:, :-2000], target)
    with pytest.raises(ValueError, match="silent reference"):
        log_spectral_distance(target, 0 * target)
