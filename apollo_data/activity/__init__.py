"""Source activity detection (SAD): when a stem sounds.

A detector is a function of (files, stem class, settings) that returns the active spans of
the sum of the files. It reads them in blocks: memory is one block and a few numbers a frame.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from apollo_data.activity import energy, silence, silero, upstream, vocals
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

Detector = Callable[[Sequence[Path], str, ActivitySettings], tuple[ActiveSpan, ...]]

DETECTORS: dict[str, Detector] = {
    "energy": energy.detect,
    "energy+silero": vocals.detect,
    "silero": silero.detect,
    "pydub": silence.detect,
    "upstream": upstream.detect,
}


def detector_for(stem_class: str, settings: ActivitySettings) -> str:
    """Return which of `DETECTORS` the settings mean for a stem class.

    Examples
    --------
    >>> [detector_for(stem_class, ActivitySettings()) for stem_class in ("vocals", "bass")]
    ['energy+silero', 'energy']
    """
    if settings.detector == "auto":
        return "energy+silero" if stem_class == "vocals" else "energy"
    return settings.detector


def detect(
    files: Sequence[Path], stem_class: str, settings: ActivitySettings
) -> tuple[ActiveSpan, ...]:
    """Return the active spans of the sum of `files` by the detector that the settings mean.

    Raises
    ------
    AudioError
        A file is missing, unreadable, neither mono nor stereo, or holds NaN or infinity.
    """
    return DETECTORS[detector_for(stem_class, settings)](files, stem_class, settings)
