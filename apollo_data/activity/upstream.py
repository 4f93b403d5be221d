"""Activity by the rule of the published preprocessing, for comparison with its stores.

After `VAD` in github.com/JusperLee/Apollo-data-preprocess (musdb_preprocess.py, commit
bb37a7b), which follows the BSRNN paper (arXiv 2209.15174, section IV-A). Three things in it
look unintended and are kept: a frame's power is a sum and not a mean, the last window that
would fit is left out, and a file shorter than 9 s has no window at all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_data.activity.levels import frame_blocks
from apollo_data.audio.spans import merge_spans
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

HEEDED: dict[str, Any] = {}
"""The settings that this detector uses: none."""

_RATE = 44100
_FRAME = 441
_FRAMES_PER_SECOND = 100
_WINDOW_SECONDS, _HOP_SECONDS = 6, 3
_SILENT_POWER = 1e-3
_QUANTILE = 0.15
_SHARE = 0.5


def detect(
    files: Sequence[Path], stem_class: str, settings: ActivitySettings
) -> tuple[ActiveSpan, ...]:
    """Return the union of the active windows of 6 s, one every 3 s.

    The sound counts up to its last whole second, at 44.1 kHz and in stereo. A frame's power is
    the sum of its 2 x 441 squared samples. The threshold is the 15 % quantile of the powers
    above 1e-3; a window is active if more than half of its 600 frames are above the threshold.
    Neither the stem class nor the settings are used.
    """
    blocks = frame_blocks(files, _RATE, _FRAME)
    powers = np.concatenate([np.zeros(0), *(_frame_powers(block) for block in blocks)])
    return merge_spans(
        ActiveSpan(float(start), float(start + _WINDOW_SECONDS)) for start in active_windows(powers)
    )


def _frame_powers(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    frames = block[:, : block.shape[1] // _FRAME * _FRAME].reshape(2, -1, _FRAME)
    return np.einsum("cft,cft->f", frames, frames).astype(np.float64)


def active_windows(powers: npt.NDArray[np.float64]) -> list[int]:
    """Return the seconds at which active windows begin, from the powers of 10-ms frames."""
    seconds = len(powers) // _FRAMES_PER_SECOND
    powers = powers[: seconds * _FRAMES_PER_SECOND]
    sounding = powers[powers > _SILENT_POWER]
    if not len(sounding):
        return []
    above = powers > np.quantile(sounding, _QUANTILE)
    windows = max(0, (seconds - _WINDOW_SECONDS) // _HOP_SECONDS)
    starts = [window * _HOP_SECONDS for window in range(windows)]
    return [
        start
        for start in starts
        if above[_FRAMES_PER_SECOND * start :][: _FRAMES_PER_SECOND * _WINDOW_SECONDS].mean()
        > _SHARE
    ]
