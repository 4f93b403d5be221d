"""Evaluation: metrics, scores of systems, tables."""

from apollo_model.evaluation.metrics import (
    log_spectral_distance,
    multi_resolution_distance,
    sdr,
    si_snr,
)
from apollo_model.evaluation.visqol import visqol

__all__ = ["log_spectral_distance", "multi_resolution_distance", "sdr", "si_snr", "visqol"]
