"""Activity from short-time energy, relative to the stem's own loud level."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from apollo_data.audio import probe, sound_blocks
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings
from apollo_data.spans import spans_of_frames

_BLOCK_SECONDS = 10.0
_LOUD_QUANTILE = 0.95
_SILENT_POWER = 1e-12  # -120 dB, far below 16-bit rounding


def detect(files: Sequence[Path], settings: ActivitySettings) -> tuple[ActiveSpan, ...]:
    """Return the stretches in which the level is near the stem's own loud level.

    The loud level is the 95 % quantile of the levels of all frames that are not silent.
    A span begins where the level rises above the onset threshold and reaches back and on
    to where it falls below the release threshold (hysteresis). Short rests are bridged,
    then short spans dropped.
    """
    levels_db = frame_levels_db(files, settings.frame_seconds)
    sounding = levels_db > settings.silence_dbfs
    if not sounding.any():
        return ()
    loud_db = float(np.quantile(levels_db[sounding], _LOUD_QUANTILE))
    onset = levels_db > max(loud_db + settings.onset_db, settings.silence_dbfs)
    release = levels_db > max(loud_db + settings.release_db, settings.silence_dbfs)
    return spans_of_frames(
        hold(onset, release),
        settings.frame_seconds,
        settings.min_active_seconds,
        settings.min_gap_seconds,
    )


def frame_levels_db(files: Sequence[Path], frame_seconds: float) -> npt.NDArray[np.floating]:
    """Return the level of each whole frame in dB full scale (mean square of both channels).

    The files are read once in blocks; what grows with their length is one number a frame.
    """
    rate = probe(files[0]).sample_rate
    frame = round(frame_seconds * rate)
    blocks = [
        _frame_powers(block, frame)
        for block in sound_blocks(files, rate, round(_BLOCK_SECONDS / frame_seconds) * frame / rate)
    ]
    powers = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    return 10.0 * np.log10(np.maximum(powers, _SILENT_POWER))


def _frame_powers(block: npt.NDArray[np.float32], frame: int) -> npt.NDArray[np.floating]:
    """Return the mean square of each whole frame of a (channels, samples) block."""
    whole = block.shape[1] // frame * frame
    frames = block[:, :whole].reshape(block.shape[0], -1, frame)
    return np.einsum("cft,cft->f", frames, frames) / np.float32(block.shape[0] * frame)


def hold(onset: npt.NDArray[np.bool_], release: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Keep the runs of `release` that hold at least one `onset`: a two-threshold gate."""
    edges = np.flatnonzero(np.diff(release.astype(np.int8), prepend=0, append=0))
    counts = np.concatenate([[0], np.cumsum(onset)])
    gate = np.zeros(len(release), bool)
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        gate[start:end] = counts[end] > counts[start]
    return gate
