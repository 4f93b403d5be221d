"""Activity from short-time energy, relative to the stem's own loud level."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from apollo_data.activity.active_runs import hold, without_clicks
from apollo_data.activity.levels import Levels, measure_levels
from apollo_data.activity.noise import hiss_level_db
from apollo_data.audio.spans import spans_of_frames
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

HEEDED: dict[str, Any] = dict.fromkeys(
    (
        "frame_seconds",
        "onset_db",
        "release_db",
        "silence_dbfs",
        "max_click_seconds",
        "min_active_seconds",
        "min_gap_seconds",
    ),
    True,
)
"""The settings that this detector uses."""

_LOUD_QUANTILE = 0.95
_LOUD_RANGE_DB = 40.0
_HISS_ONSET_DB, _HISS_RELEASE_DB = 6.0, 3.0


@dataclass(frozen=True)
class Thresholds:
    """A stem's loud level, and where its spans begin and end; all in dB full scale."""

    loud_db: float
    onset_db: float
    release_db: float


def detect(
    files: Sequence[Path], stem_class: str, settings: ActivitySettings
) -> tuple[ActiveSpan, ...]:
    """Return the stretches in which the level is near the stem's own loud level.

    A span begins where the level rises above the onset threshold and reaches back and on
    to where it falls below the release threshold (hysteresis). Both are relative to the loud
    level, and lie above the file's hiss and above silence. Clicks are dropped, short rests
    bridged, then short spans dropped. The stem class is not used.
    """
    levels = measure_levels(files, settings.frame_seconds)
    thresholds = thresholds_of(levels, settings)
    return spans_of_onsets(levels, levels.level_db > thresholds.onset_db, thresholds, settings)


def thresholds_of(levels: Levels, settings: ActivitySettings) -> Thresholds:
    """Return the thresholds that follow from a stem's levels."""
    silence_db = settings.silence_dbfs
    loud_db = loud_level_db(levels.level_db, silence_db)
    hiss_db = hiss_level_db(levels, loud_db, silence_db)
    return Thresholds(
        loud_db,
        max(loud_db + settings.onset_db, hiss_db + _HISS_ONSET_DB, silence_db),
        max(loud_db + settings.release_db, hiss_db + _HISS_RELEASE_DB, silence_db),
    )


def loud_level_db(levels_db: npt.NDArray[np.floating], silence_dbfs: float) -> float:
    """Return the 95 % quantile of the levels within 40 dB of the loudest 50 ms.

    Hiss, bleed and rests of any length lie outside that range, and a click of one or two
    frames does not change the running median that tells what is loudest.
    """
    if not len(levels_db):
        return -np.inf
    padded = np.pad(levels_db, 2, constant_values=-np.inf)
    loudest_db = float(np.median(sliding_window_view(padded, 5), axis=1).max())
    near = levels_db[levels_db > max(loudest_db - _LOUD_RANGE_DB, silence_dbfs)]
    return float(np.quantile(near, _LOUD_QUANTILE)) if len(near) else -np.inf


def spans_of_onsets(
    levels: Levels,
    onset: npt.NDArray[np.bool_],
    thresholds: Thresholds,
    settings: ActivitySettings,
) -> tuple[ActiveSpan, ...]:
    """Return the spans around the frames of `onset`, as far as the release threshold lets them."""
    gate = hold(onset, levels.level_db > thresholds.release_db)
    return spans_of_frames(
        without_clicks(gate, round(settings.max_click_seconds / levels.frame_seconds)),
        levels.frame_seconds,
        settings.min_active_seconds,
        settings.min_gap_seconds,
    )
