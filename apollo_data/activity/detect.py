"""Source activity detection (SAD): choose and run the detector of a stem class.

A detector is a function of (files, stem class, settings) that returns the active spans of
the sum of the files. It reads them in blocks: memory is one block and a few numbers a frame.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from apollo_data.activity import energy, pydub_silence, silero, upstream, vocals
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

Detector = Callable[[Sequence[Path], str, ActivitySettings], tuple[ActiveSpan, ...]]

DETECTORS: dict[str, Detector] = {
    "energy": energy.detect,
    "energy+silero": vocals.detect,
    "silero": silero.detect,
    "pydub": pydub_silence.detect,
    "upstream": upstream.detect,
}

HEEDED: dict[str, dict[str, Any]] = {
    "energy": energy.HEEDED,
    "energy+silero": vocals.HEEDED,
    "silero": silero.HEEDED,
    "pydub": pydub_silence.HEEDED,
    "upstream": upstream.HEEDED,
}
"""The settings that each detector uses, as pydantic's ``include`` takes them."""


def detector_for(stem_class: str, settings: ActivitySettings) -> str:
    """Return the name of the detector that the settings choose for a stem class.

    Examples
    --------
    >>> [detector_for(stem_class, ActivitySettings()) for stem_class in ("vocals", "bass")]
    ['energy+silero', 'energy']
    """
    if settings.detector == "auto":
        return "energy+silero" if stem_class == "vocals" else "energy"
    return settings.detector


def heeded_settings(stem_class: str, settings: ActivitySettings) -> ActivitySettings:
    """Return the settings with everything that the detector does not use set to its default.

    Examples
    --------
    >>> loud = ActivitySettings(detector="pydub", onset_db=-20.0, min_gap_seconds=0.5)
    >>> heeded = heeded_settings("bass", loud)
    >>> heeded.onset_db, heeded.min_gap_seconds
    (-40.0, 0.5)
    """
    names = HEEDED[detector_for(stem_class, settings)]
    return ActivitySettings.model_validate(settings.model_dump(include=names))


def detect(
    files: Sequence[Path], stem_class: str, settings: ActivitySettings
) -> tuple[ActiveSpan, ...]:
    """Return the active spans of the sum of `files`, by the detector that the settings choose.

    The detector gets `heeded_settings` and no others.

    Raises
    ------
    AudioError
        A file is missing, unreadable, neither mono nor stereo, or holds NaN or infinity.
    """
    detector = DETECTORS[detector_for(stem_class, settings)]
    return detector(files, stem_class, heeded_settings(stem_class, settings))
