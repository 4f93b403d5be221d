"""Activity of vocals: energy decides, and where it is in doubt silero-vad is asked.

Singing is not speech. silero-vad hears little of it but is almost never wrong where it hears
something, so its silence says nothing and its word counts: speech lets a span begin at a
lower level than the onset threshold. Asked only about the stretches that this can change, it
costs next to nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_data.activity import energy
from apollo_data.activity.energy import spans_of_onsets, thresholds_of
from apollo_data.activity.levels import BLOCK_SECONDS, Levels, measure_levels
from apollo_data.activity.runs import runs_of
from apollo_data.activity.silero import CHUNK_SECONDS, RATE, SpeechMeter, speech_chunks
from apollo_data.audio.files import read_sound
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

HEEDED: dict[str, Any] = {**energy.HEEDED, "silero": True}
"""The settings that play a part."""

Frames = npt.NDArray[np.bool_]
Stretch = tuple[int, int]

_LEAD_SECONDS = 1.0  # what the network hears before a stretch, but nothing loud
_HEARD_AT_DBFS = -20.0


def detect(
    files: Sequence[Path], stem_class: str, settings: ActivitySettings
) -> tuple[ActiveSpan, ...]:
    """Return the spans of `energy`, and those quieter ones in which speech is heard."""
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

    Runs near one another are heard as one. No stretch or lead reaches into a run with an
    onset, beside which all that is in doubt would drown.
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
    """Return in which of the frames from `start` to `end` speech is heard.

    The network hears less in what is quiet, so the stretch is raised to a usual level.
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
