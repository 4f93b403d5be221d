"""The whole of ViSQOL's audio mode: patches, their places, their similarity, the score."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch

from apollo_model.evaluation.visqol.alignment import (
    SEARCH_PATCHES,
    Envelope,
    best_offsets,
    shifted,
    truncated,
)
from apollo_model.evaluation.visqol.gammatone import FRAME, HOP, SAMPLE_RATE, spectrogram
from apollo_model.evaluation.visqol.similarity import Patches, band_similarities

Array = npt.NDArray[Any]

PATCH_FRAMES = 30
_FIRST_PATCH = PATCH_FRAMES // 2 - 1
_FRAME_SECONDS = HOP / SAMPLE_RATE
_PATCH_SECONDS = _FRAME_SECONDS * PATCH_FRAMES

SHORTEST = FRAME + HOP * (_FIRST_PATCH + PATCH_FRAMES - 1)
"""Samples at 48 kHz, nearly one second: one patch."""

_FLOOR_DB = -45.0
_RANGE_DB = 45.0
_WORST = 1.0
_DISSIMILAR = 0.15
_SILENCE = 1e-6


def visqol(
    estimate: torch.Tensor | Array, target: torch.Tensor | Array, sample_rate: int = 44100
) -> float:
    """Return ViSQOL's score (MOS-LQO, audio mode) of an estimate: 1 (bad) to 4.732 (identical).

    Both are mixed to mono and resampled to 48 kHz, as in the paper. The score forgives gain
    and delays, and hears nothing that is 45 dB below a frame's loudest band.

    Parameters
    ----------
    estimate, target
        (channels, samples) or (samples,), at least one second.
    sample_rate
        Of both, in Hz.

    Raises
    ------
    ValueError
        The target is silent, a sound is too short or holds values that are not finite.

    Examples
    --------
    >>> noise = np.random.default_rng(0).standard_normal((2, 48000))
    >>> round(visqol(noise, noise, 48000), 3)
    4.732
    """
    return VisqolReference(target, sample_rate).score(estimate)


class VisqolReference:
    """A target against which many estimates are scored; what depends on it alone is kept.

    Parameters and errors are those of `visqol`.
    """

    def __init__(self, target: torch.Tensor | Array, sample_rate: int = 44100) -> None:
        self._sample_rate = sample_rate
        self._audio = _mono_48k(target, sample_rate, "target")
        if len(self._audio) < SHORTEST:
            raise ValueError("the target is too short for ViSQOL: it takes a second")
        self._level = _root_mean_square(self._audio)
        if self._level < _SILENCE:
            raise ValueError("silent reference")
        self._envelope = Envelope(self._audio)
        self._spectrogram = _decibels(self._audio)
        # As ViSQOL has it, the last whole patch is used only if a frame and more is left after it.
        end = max(self._spectrogram.shape[1] - PATCH_FRAMES - 1, _FIRST_PATCH + 1)
        self._starts = list(range(_FIRST_PATCH, end, PATCH_FRAMES))
        self._slices: dict[tuple[int, int], tuple[Envelope, Array]] = {}

    def score(self, estimate: torch.Tensor | Array) -> float:
        """Return the score of an estimate of the target, (channels, samples)."""
        degraded = _mono_48k(estimate, self._sample_rate, "estimate")
        if not len(degraded):
            return _WORST
        lag = self._envelope.lag_of(Envelope(degraded))
        if lag and abs(lag) <= len(self._audio) / 2:
            degraded = shifted(degraded, lag)
        level = _root_mean_square(degraded)
        if level == 0 or len(degraded) <= FRAME:
            return _WORST
        degraded = degraded * (self._level / level)
        bands = np.mean(self._patches(degraded), 0)
        if bands.mean() < _DISSIMILAR:
            return _WORST
        return float(np.clip(_quality_model().predict(bands), 1.0, 5.0))

    def _patches(self, degraded: Array) -> list[Array]:
        """Return the similarity per band of each patch of the target."""
        ours, theirs = _comparable(self._spectrogram, _decibels(degraded))
        within = theirs.shape[1] + PATCH_FRAMES // 2
        starts = [start for start in self._starts if start <= within]
        if not starts:
            return [np.zeros(len(ours))]
        padded = np.pad(theirs, ((0, 0), (0, PATCH_FRAMES - 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, PATCH_FRAMES, 1)
        candidates = Patches.of(np.ascontiguousarray(windows.transpose(1, 0, 2)))
        radius = SEARCH_PATCHES * PATCH_FRAMES
        found = np.stack(
            [
                band_similarities(Patches.of(ours[:, start : start + PATCH_FRAMES]), candidates)
                for start in starts
            ]
        )
        offsets = best_offsets(found.mean(-1), starts, radius)
        return [
            np.zeros(len(ours))
            if offset is None
            else self._realigned(start, offset, degraded, found[patch, offset])
            for patch, (start, offset) in enumerate(zip(starts, offsets, strict=True))
        ]

    def _realigned(self, start: int, offset: int, degraded: Array, before: Array) -> Array:
        """Return a patch's similarity after it was aligned to the sample, if that is better."""
        bounds = _sample_bounds(start, len(self._audio))
        if bounds not in self._slices:
            piece = _cut(self._audio, start)
            self._slices[bounds] = Envelope(piece), piece
        envelope, ours = self._slices[bounds]
        theirs = _cut(degraded, offset)
        lag = envelope.lag_of(Envelope(theirs))
        if abs(lag) > len(ours) / 2:
            lag = 0
        ours, theirs = truncated(ours, shifted(theirs, lag), lag)
        if len(ours) <= FRAME:
            return before
        patches = _comparable(_decibels(ours), _decibels(theirs))
        after = band_similarities(*map(Patches.of, patches))
        return before if after.mean() < before.mean() else after


def _cut(audio: Array, start: int) -> Array:
    """Return the samples of a patch; what lies beyond the end is silence, before the rest."""
    low, high = _sample_bounds(start, len(audio))
    piece = audio[low:high]
    missing = int((start * _FRAME_SECONDS + _PATCH_SECONDS) * SAMPLE_RATE - len(audio))
    return np.concatenate((np.zeros(max(0, missing)), piece))


def _sample_bounds(start: int, samples: int) -> tuple[int, int]:
    """Return a patch's first sample and the one after its last, rounded as ViSQOL does."""
    seconds = start * _FRAME_SECONDS
    end = min(samples - 1, int((seconds + _PATCH_SECONDS) * SAMPLE_RATE))
    return int(seconds * SAMPLE_RATE), end


def _decibels(audio: Array) -> Array:
    values = spectrogram(audio)
    return 10 * np.log10(np.where(values == 0, np.finfo(float).eps, values))


def _comparable(reference: Array, degraded: Array) -> tuple[Array, Array]:
    """Raise both to the floor of what is heard, and let that floor be 0 dB."""
    reference, degraded = np.maximum(reference, _FLOOR_DB), np.maximum(degraded, _FLOOR_DB)
    shared = min(reference.shape[1], degraded.shape[1])
    loudest = np.maximum(reference[:, :shared].max(0), degraded[:, :shared].max(0))
    for side in (reference, degraded):
        np.maximum(side[:, :shared], loudest - _RANGE_DB, out=side[:, :shared])
    lowest = min(reference.min(), degraded.min())
    return reference - lowest, degraded - lowest


def _mono_48k(audio: torch.Tensor | Array, sample_rate: int, name: str) -> Array:
    values = np.asarray(audio.detach().cpu() if isinstance(audio, torch.Tensor) else audio, float)
    mono = values if values.ndim == 1 else values.mean(0)
    if not np.isfinite(mono).all():
        raise ValueError(f"the {name} is not finite")
    if sample_rate != SAMPLE_RATE:
        mono = soxr.resample(mono, sample_rate, SAMPLE_RATE)
    return np.asarray(mono)


def _root_mean_square(audio: Array) -> float:
    return float(np.sqrt(np.mean(audio**2)))


class _QualityModel:
    """Support vector regression with a radial basis, as libsvm stores it."""

    def __init__(self, path: Path) -> None:
        head, _, body = path.read_text(encoding="ascii").partition("\nSV\n")
        settings = dict(line.split(" ", 1) for line in head.splitlines())
        self._gamma, self._bias = float(settings["gamma"]), float(settings["rho"])
        rows = [line.split() for line in body.splitlines()]
        self._weights = np.array([float(row[0]) for row in rows])
        self._vectors = np.array([[float(cell.split(":")[1]) for cell in row[1:]] for row in rows])

    def predict(self, similarities: Array) -> float:
        """Return the score that listeners gave to sounds of such similarities per band."""
        distances = ((self._vectors - similarities) ** 2).sum(-1)
        return float(self._weights @ np.exp(-self._gamma * distances)) - self._bias


@cache
def _quality_model() -> _QualityModel:
    return _QualityModel(Path(__file__).with_name("quality_model.txt"))
