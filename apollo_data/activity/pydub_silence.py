"""Activity by pydub's silence detection: a simple baseline.

pydub wants a whole sound in memory. Here it gets one block at a time, with as much of the next
block as its window needs; together the blocks have the silences of the whole. Its threshold is
relative to the level of the whole sound, so the file is read twice.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_data.activity.levels import BLOCK_SECONDS
from apollo_data.audio.files import probe, sound_blocks
from apollo_data.audio.spans import merge_spans
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

HEEDED: dict[str, Any] = {"min_gap_seconds": True, "pydub": True}
"""The settings that this detector uses."""

_FULL_SCALE = 32768
_STEP_MS = 10

Pcm = npt.NDArray[np.int16]


def detect(
    files: Sequence[Path], stem_class: str, settings: ActivitySettings
) -> tuple[ActiveSpan, ...]:
    """Return what `pydub.silence.detect_nonsilent` returns for the 16-bit sum of `files`.

    A window of `min_gap_seconds`, moved in steps of 10 ms, is silent if its RMS level lies
    `threshold_db` or more below the level of the whole sound. The stem class is not used.
    """
    rate = probe(files[0]).sample_rate
    window_ms = _STEP_MS * max(1, round(settings.min_gap_seconds * 1000 / _STEP_MS))
    frames, level_dbfs = _length_and_level(_pcm_blocks(files, rate, window_ms))
    if level_dbfs == -math.inf:
        return ()
    silences = [
        silence
        for start_seconds, pcm in _windowed(_pcm_blocks(files, rate, window_ms), rate, window_ms)
        for silence in _silences(
            pcm, rate, start_seconds, window_ms, level_dbfs + settings.pydub.threshold_db
        )
    ]
    return _between(merge_spans(silences), round(frames / rate, 3))


def _pcm_blocks(files: Sequence[Path], rate: int, window_ms: int) -> Iterator[Pcm]:
    """Yield (samples, 2) blocks of 16 bit, none but the last shorter than the window."""
    for block in sound_blocks(files, rate, max(BLOCK_SECONDS, window_ms / 1000)):
        scaled = np.clip(np.rint(block.T * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
        yield scaled.astype(np.int16)


def _length_and_level(blocks: Iterator[Pcm]) -> tuple[int, float]:
    """Return the number of frames and the RMS level in dB full scale, in pydub's whole numbers."""
    frames = squares = 0
    for block in blocks:
        frames += len(block)
        squares += int(np.sum(block.astype(np.int64) ** 2))
    rms = math.isqrt(squares // (2 * frames)) if frames else 0
    return frames, 20.0 * math.log10(rms / _FULL_SCALE) if rms else -math.inf


def _windowed(blocks: Iterator[Pcm], rate: int, window_ms: int) -> Iterator[tuple[float, Pcm]]:
    """Yield (start in seconds, block and a window's length of what follows it)."""
    start = 0
    empty = np.zeros((0, 2), np.int16)
    for block, following in pairwise(chain(blocks, [empty])):
        more = following[: math.ceil(window_ms * rate / 1000)]
        yield start / rate, np.concatenate([block, more])
        start += len(block)


def _silences(
    pcm: Pcm, rate: int, start_seconds: float, window_ms: int, threshold_dbfs: float
) -> Iterator[ActiveSpan]:
    audio_segment, detect_silence = _pydub()
    segment = audio_segment(data=pcm.tobytes(), sample_width=2, frame_rate=rate, channels=2)
    for first_ms, last_ms in detect_silence(segment, window_ms, threshold_dbfs, _STEP_MS):
        yield ActiveSpan(start_seconds + first_ms / 1000, start_seconds + last_ms / 1000)


def _pydub() -> tuple[Any, Any]:
    with warnings.catch_warnings():  # it warns where there is no ffmpeg, which is not needed here
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
        from pydub.silence import detect_silence
    return AudioSegment, detect_silence


def _between(silences: Sequence[ActiveSpan], seconds: float) -> tuple[ActiveSpan, ...]:
    """Return the spans between the silences of a sound."""
    edges = [
        0.0,
        *(t for span in silences for t in (span.start_seconds, span.end_seconds)),
        seconds,
    ]
    spans = (
        ActiveSpan(round(a, 3), round(b, 3)) for a, b in zip(edges[::2], edges[1::2], strict=True)
    )
    return tuple(span for span in spans if span.end_seconds > span.start_seconds)
