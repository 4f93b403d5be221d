"""Metrics of one clip: fidelity, spectra, hum, and what a listener would say.

`docs/metrics.md` defines each, with its range and its traps.
"""

from apollo_model.evaluation.metrics.fidelity import (
    LIMIT_DB,
    SDR_TAPS,
    SILENCE_RMS,
    is_silent,
    sdr,
    si_snr,
)
from apollo_model.evaluation.metrics.spectrum import (
    log_spectral_distance,
    multi_resolution_distance,
)

__all__ = [
    "LIMIT_DB",
    "SDR_TAPS",
    "SILENCE_RMS",
    "is_silent",
    "log_spectral_distance",
    "multi_resolution_distance",
    "sdr",
    "si_snr",
]
