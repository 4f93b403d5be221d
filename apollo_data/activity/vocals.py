"""Activity of vocals: by energy, and by silero-vad where energy is not sure.

Singing is not speech. silero-vad finds little of it, but what it finds is almost never wrong. So
speech lets a span begin at a lower level than the onset threshold, and no speech means nothing.
The network runs only on the stretches that this can change, which costs little time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_data.activity import energy
from apollo_data.activity.active_runs import runs_of
from apollo_data.activity.energy import spans_of_onsets, thresholds_of
from apollo_data.activity.levels import BLOCK_SECONDS, Levels, measure_levels
from apollo_data.activity.silero import CHUNK_SECONDS, RATE, SpeechMeter, speech_chunks
from apollo_data.audio.files import read_sound
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

HEEDED: dict[str, Any] = {**energy.HEEDED, "silero": True}
"""The settings that this detector uses."""

Frames = npt.NDArray[np.bool_]
Stretch = tuple[int, int]

_LEAD_SECONDS = 1.0  # what the network gets before a stretch, but nothing loud
_HEARD_AT_DBFS = -20.0


def detect(
    files: Sequence[Path], stem_class: str, settings: ActivitySettings
) -> tuple[ActiveSpan, ...]:
    """Return the spans of `energy`, and quieter ones in which there is speech."""
    levels = measure_levels(files, settings.frame_seconds)
    thresholds = thresholds_of(levels, settings)
    onset = levels.level_db > thresholds.onset_db
    release = levels.level_db > thresholds.release_db
    quiet = release & (levels.level_db > thresholds.loud_db + settings.silero.quiet_onset_db)
    lead = round(_LEAD_SECONDS / levels.frame_seconds)
    for start, end in _stretches_in_doubt(onset, release, quiet, lead):
        speech = _speech_frames(files, levels, start, end, settings)
        onset[start:end] = speech & quiet[start:end]
    return spans_of_onsets(levels, onset, thresholds, settings)


def _stretches_in_doubt(onset: Frames, release: Frames, quiet: Frames, lead: int) -> list[Stretch]:
    """Return the stretches of quiet runs that hold no onset, each with its lead.

    Runs near one another make one stretch. No stretch or lead reaches into a run with an onset,
    which would mask the quiet sound.
    """
    stretches: list[Stretch] = []
    loud_until = 0
    for start, end in runs_of(release):
        if onset[start:end].any():
            loud_until = end
        elif quiet[start:end].any():
            begin = max(loud_until, start - lead)
            if stretches and begin <= stretches[-1][1]:
                begin, _ = stretches.pop()
            stretches.append((begin, end))
    return stretches


def _speech_frames(
    files: Sequence[Path], levels: Levels, start: int, end: int, settings: ActivitySettings
) -> Frames:
    """Return in which of the frames from `start` to `end` there is speech.

    The network finds less in quiet sound, so the stretch is raised to a usual level.
    """
    step = levels.frame_seconds
    gain = np.float32(10.0 ** ((_HEARD_AT_DBFS - levels.level_db[start:end].max()) / 20.0))
    samples = round((end - start) * step * RATE)
    meter = SpeechMeter(RATE)
    block = round(BLOCK_SECONDS * RATE)
    for done in range(0, samples, block):
        size = min(block, samples - done)
        heard = read_sound(files, start * step + done / RATE, size, RATE)
        meter.add(np.clip(gain * heard, -1.0, 1.0))
    speech = speech_chunks(meter.probabilities(), settings.silero)
    chunks = ((np.arange(end - start) + 0.5) * step / CHUNK_SECONDS).astype(int)
    return speech[np.minimum(chunks, len(speech) - 1)]
