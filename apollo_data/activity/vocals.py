"""Activity of vocals: energy decides, and where it is in doubt silero-vad is asked.

Singing is not speech. silero-vad hears little of it but is almost never wrong where it hears
something, so its silence says nothing and its word counts: speech lets a span begin at a
lower level than the onset threshold. Asked only about the stretches that this can change, it
costs next to nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from apollo_data.activity.energy import spans_of_onsets, thresholds_of
from apollo_data.activity.levels import BLOCK_SECONDS, measure_levels
from apollo_data.activity.runs import runs_of
from apollo_data.activity.silero import CHUNK_SECONDS, RATE, SpeechMeter, speech_chunks
from apollo_data.audio import read_sound
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

_LEAD_SECONDS = 2.0  # what the network hears before and after a stretch in doubt


def detect(
    files: Sequence[Path], stem_class: str, settings: ActivitySettings
) -> tuple[ActiveSpan, ...]:
    """Return the spans of `energy`, and those quieter ones in which speech is heard."""
    levels = measure_levels(files, settings.frame_seconds)
    thresholds = thresholds_of(levels, settings)
    onset = levels.level_db > thresholds.onset_db
    quiet_db = max(thresholds.loud_db + settings.silero.quiet_onset_db, thresholds.release_db)
    quiet = levels.level_db > quiet_db
    clicks = round(settings.max_click_seconds / levels.frame_seconds)
    for start, end in runs_of(levels.level_db > thresholds.release_db):
        in_doubt = quiet[start:end].any() and not onset[start:end].any()
        if in_doubt and end - start > clicks:
            speech = _speech_frames(files, start, end, levels.frame_seconds, settings)
            onset[start:end] = speech & quiet[start:end]
    return spans_of_onsets(levels, onset, thresholds, settings)


def _speech_frames(
    files: Sequence[Path], start: int, end: int, frame_seconds: float, settings: ActivitySettings
) -> npt.NDArray[np.bool_]:
    """Return in which of the frames from `start` to `end` speech is heard."""
    first_seconds = max(0.0, start * frame_seconds - _LEAD_SECONDS)
    samples = round((end * frame_seconds + _LEAD_SECONDS - first_seconds) * RATE)
    meter = SpeechMeter(RATE)
    block = round(BLOCK_SECONDS * RATE)
    for done in range(0, samples, block):
        size = min(block, samples - done)
        meter.add(read_sound(files, first_seconds + done / RATE, size, RATE))
    speech = speech_chunks(meter.probabilities(), settings.silero)
    middles = (np.arange(start, end) + 0.5) * frame_seconds
    chunks = ((middles - first_seconds) / CHUNK_SECONDS).astype(int)
    return speech[np.minimum(chunks, len(speech) - 1)]
