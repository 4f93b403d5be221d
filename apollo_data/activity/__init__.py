"""Source activity detection (SAD): when a stem sounds.

A detector is a function of (files, settings) that returns the active spans of the sum of
the files. It reads them once, in blocks.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from apollo_data.activity import energy
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

Detector = Callable[[Sequence[Path], ActivitySettings], tuple[ActiveSpan, ...]]

DETECTORS: dict[str, Detector] = {"energy": energy.detect}


def detect(files: Sequence[Path], settings: ActivitySettings) -> tuple[ActiveSpan, ...]:
    """Return the active spans of the sum of `files` by the detector that the settings name."""
    return DETECTORS[settings.detector](files, settings)
