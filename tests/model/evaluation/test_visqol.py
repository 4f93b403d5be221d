"""ViSQOL beside what visqol-python 3.8.0, a port of Google's own code, says of the same sounds."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soxr
import torch
from helpers.degradations import degradations, sound

from apollo_model.evaluation import visqol
from apollo_model.evaluation.visqol import VisqolReference
from apollo_model.evaluation.visqol.gammatone import (
    FRAME,
    HOP,
    SAMPLE_RATE,
    centre_frequencies,
    spectrogram,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/visqol.json").read_text())


@pytest.mark.parametrize("seconds", VECTORS)
def test_scores_are_those_of_the_port_of_googles_code(seconds: str) -> None:
    clean = sound(float(seconds))
    reference = VisqolReference(clean, SAMPLE_RATE)
    for name, degraded in degradations(clean).items():
        assert reference.score(degraded) == pytest.approx(VECTORS[seconds][name], abs=1e-4), name


def test_identical_sounds_have_the_highest_score() -> None:
    clean = sound()
    assert visqol(clean, clean, SAMPLE_RATE) == pytest.approx(4.7321, abs=1e-4)


def test_stereo_is_mixed_to_mono_and_resampled() -> None:
    left, right = sound(seed=1), sound(seed=2)
    clean = soxr.resample(np.stack((left, right)).T, SAMPLE_RATE, 44100).T
    coded = scipy.signal.lfilter([1.0, 0.5], [1.0], clean)
    mono = [soxr.resample(audio.mean(0), 44100, SAMPLE_RATE) for audio in (coded, clean)]
    score = visqol(coded, clean)
    assert score == pytest.approx(visqol(mono[0], mono[1], SAMPLE_RATE), abs=1e-9)
    tensors = torch.from_numpy(coded), torch.from_numpy(clean)
    assert visqol(*tensors) == pytest.approx(score, abs=1e-9)


def test_the_order_of_estimates_makes_no_difference() -> None:
    clean = sound()
    worse, better = degradations(clean)["noise"], degradations(clean)["low-pass 14 kHz"]
    reference = VisqolReference(clean, SAMPLE_RATE)
    scores = [reference.score(audio) for audio in (worse, better, worse)]
    assert scores[0] == scores[2] != scores[1]
    assert scores[1] == VisqolReference(clean, SAMPLE_RATE).score(better)


def test_silence_and_short_sounds_are_refused_and_a_silent_estimate_is_the_worst() -> None:
    clean = sound()
    with pytest.raises(ValueError, match=r"^silent reference$"):
        visqol(clean, 0 * clean, SAMPLE_RATE)
    with pytest.raises(ValueError, match="target is too short for ViSQOL"):
        visqol(clean[:40000], clean[:40000], SAMPLE_RATE)
    broken = np.where(np.arange(len(clean)) == 7, np.nan, clean)
    with pytest.raises(ValueError, match="estimate is not finite"):
        visqol(broken, clean, SAMPLE_RATE)
    assert visqol(0 * clean, clean, SAMPLE_RATE) == 1.0


def test_the_spectrogram_is_that_of_filters_run_over_each_frame() -> None:
    audio = sound(0.3)
    found = spectrogram(audio)
    assert found.shape == (32, 1 + (len(audio) - FRAME) // HOP)
    window = np.hanning(FRAME)
    for band in (0, 5, 31):
        centre = centre_frequencies()[band]
        numerator, denominator = slaney(centre)
        for frame in range(found.shape[1]):
            filtered = audio[frame * HOP : frame * HOP + FRAME] * window
            for zeros in numerator:
                filtered = scipy.signal.lfilter(zeros, denominator, filtered)
            wanted = np.sqrt(np.mean(filtered**2))
            assert found[band, frame] == pytest.approx(wanted, rel=1e-6)


def slaney(centre: float) -> tuple[list[list[float]], list[float]]:
    """Sections of a gammatone filter as Slaney (1993) gives them, with gain 1 at the centre."""
    width = 1.019 * 2 * np.pi * (centre / 9.26449 + 24.7) / SAMPLE_RATE
    angle = 2 * np.pi * centre / SAMPLE_RATE
    decay = np.exp(-width)
    denominator = [1.0, -2 * decay * np.cos(angle), decay**2]
    sections = []
    for sign, root in ((1, 3 + 2**1.5), (-1, 3 + 2**1.5), (1, 3 - 2**1.5), (-1, 3 - 2**1.5)):
        zero = -decay * (np.cos(angle) + sign * np.sqrt(root) * np.sin(angle))
        _, gain = scipy.signal.freqz([1.0, zero], denominator, [angle])
        sections.append([1.0 / abs(gain[0]), zero / abs(gain[0])])
    return sections, denominator
