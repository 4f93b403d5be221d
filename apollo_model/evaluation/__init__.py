"""Evaluation: metrics, scores of systems, tables."""

from apollo_model.evaluation.metrics import sdr, si_snr

__all__ = ["sdr", "si_snr"]
