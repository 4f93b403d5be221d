"""The noise floor of a recording: hiss at a constant level below the music."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from apollo_data.activity.levels import Levels

NO_HISS_DB = -np.inf

_WINDOW_SECONDS, _HOP_SECONDS = 0.5, 0.1
_STEADY_DB = 1.5
_BRIGHT = 0.05
_SAME_LEVEL_DB = 3.0
_BELOW_LOUD_DB = 25.0
_NEVER_MUSIC_DBFS = -60.0


def hiss_level_db(levels: Levels, loud_db: float, silence_dbfs: float) -> float:
    """Return the level of the file's hiss in dB full scale, or `NO_HISS_DB`.

    Half a second sounds like hiss if its level is steady (standard deviation of the frames
    below 1.5 dB), its sound broadband, and its level 25 dB below the loud level or below
    -60 dB full scale. The file has hiss if at least half of all half seconds that are as
    quiet sound like it: hiss lies below the whole recording, a held chord does not.
    """
    window = round(_WINDOW_SECONDS / levels.frame_seconds)
    hop = max(1, round(_HOP_SECONDS / levels.frame_seconds))
    if len(levels.level_db) < window:
        return NO_HISS_DB
    frames = sliding_window_view(levels.level_db, window)[::hop]
    bright = np.median(sliding_window_view(levels.brightness, window)[::hop], axis=1) > _BRIGHT
    mean_db = frames.mean(axis=1)
    audible = mean_db > silence_dbfs
    low = mean_db < max(loud_db - _BELOW_LOUD_DB, _NEVER_MUSIC_DBFS)
    hiss = audible & low & bright & (frames.std(axis=1) < _STEADY_DB)
    if not hiss.any():
        return NO_HISS_DB
    level_db = float(np.median(mean_db[hiss]))
    as_quiet = audible & (mean_db < level_db + _SAME_LEVEL_DB)
    return level_db if hiss[as_quiet].mean() >= 0.5 else NO_HISS_DB
