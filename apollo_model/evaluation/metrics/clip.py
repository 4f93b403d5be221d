"""All metrics of one clip: which there are, and how estimates of it are measured."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_model.evaluation.metrics.fidelity import FidelityReference
from apollo_model.evaluation.metrics.hum import HumReference
from apollo_model.evaluation.metrics.listener import ZimtohrliReference, has_zimtohrli
from apollo_model.evaluation.metrics.spectrum import SpectralReference, Spectrum
from apollo_model.evaluation.visqol import VisqolReference

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """One score: its name in files, its title and unit in tables, and which way is better.

    `better` is "higher", "lower" or "" for neither.
    """

    name: str
    title: str
    unit: str = ""
    better: str = "higher"
    digits: int = 2

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


METRICS = (
    Metric("si_snr", "SI-SNR", "dB"),
    Metric("sdr", "SDR", "dB"),
    Metric("visqol", "ViSQOL"),
    Metric("zimtohrli", "Zimtohrli"),
    Metric("lsd", "log-spectral distance", "", "lower", 3),
    Metric("mrs", "multi-resolution spectral distance", "", "lower", 3),
    Metric("error_below_edge", "error below the codec's edge", "dB", "lower"),
    Metric("error_above_edge", "error above the codec's edge", "dB", "lower"),
    Metric("level_error_above_edge", "level error above the codec's edge", "dB", "lower"),
    Metric("edge_khz", "spectral edge", "kHz", ""),
    Metric("hum_db", "hum", "dB", "lower", 1),
)
"""All scores, in the order of the tables; docs/metrics.md defines them."""

METRIC_NAMES = tuple(metric.name for metric in METRICS)


def available_metrics() -> tuple[str, ...]:
    """Return the metrics that can be computed here: all, or all but Zimtohrli."""
    return tuple(name for name in METRIC_NAMES if name != "zimtohrli" or has_zimtohrli())


@dataclass(frozen=True)
class Measurement:
    """The scores of one estimate, None where one cannot be computed, and why not."""

    scores: dict[str, float | None]
    problems: dict[str, str]


class ClipReference:
    """A target and its coded form; what estimates are compared with is computed once.

    Parameters
    ----------
    target, coded
        (channels, samples) float32 of one shape. The target must sound.
    sample_rate
        In Hz.
    """

    def __init__(self, target: Array, coded: Array, sample_rate: int) -> None:
        self._target, self._coded, self._sample_rate = target, coded, sample_rate

    def measure(self, estimate: Array, metrics: Collection[str]) -> Measurement:
        """Score an estimate, (channels, samples)."""
        finite = bool(np.isfinite(estimate).all())
        if not finite:
            reason = "the output is not finite"
            return Measurement(dict.fromkeys(metrics), dict.fromkeys(metrics, reason))
        spectrum = Spectrum.of(estimate)
        scores: dict[str, float | None] = {}
        problems = {}
        for name in metrics:
            try:
                scores[name] = self._score(name, estimate, spectrum)
            except ValueError as error:
                scores[name], problems[name] = None, str(error)
            if scores[name] is None:
                problems.setdefault(name, "the target has nothing above the codec's edge")
        return Measurement(scores, problems)

    def _score(self, name: str, estimate: Array, spectrum: Spectrum) -> float | None:
        ways: dict[str, Callable[[], float | None]] = {
            "si_snr": lambda: self._fidelity.si_snr(estimate),
            "sdr": lambda: self._fidelity.sdr(estimate),
            "visqol": lambda: self._visqol.score(estimate),
            "zimtohrli": lambda: self._zimtohrli.score(estimate),
            "lsd": lambda: self._spectral.log_spectral_distance(spectrum),
            "mrs": lambda: self._spectral.multi_resolution_distance(estimate),
            "error_below_edge": lambda: self._spectral.waveform_error_db(estimate, above=False),
            "error_above_edge": lambda: self._spectral.waveform_error_db(estimate, above=True),
            "level_error_above_edge": lambda: self._spectral.level_error_above_db(spectrum),
            "edge_khz": lambda: self._spectral.spectral_edge_hz(spectrum) / 1000,
            "hum_db": lambda: self._hum.hum_db(estimate),
        }
        return ways[name]()

    @cached_property
    def _fidelity(self) -> FidelityReference:
        return FidelityReference(self._target)

    @cached_property
    def _visqol(self) -> VisqolReference:
        return VisqolReference(self._target, self._sample_rate)

    @cached_property
    def _zimtohrli(self) -> ZimtohrliReference:
        return ZimtohrliReference(self._target, self._sample_rate)

    @cached_property
    def _spectral(self) -> SpectralReference:
        return SpectralReference(self._target, self._coded, self._sample_rate)

    @cached_property
    def _hum(self) -> HumReference:
        return HumReference(self._target, self._coded, self._sample_rate)
