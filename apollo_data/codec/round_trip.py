"""Codec pairs: encode and decode clips, aligned to the sample with the originals.

Many clips go through one encoding and one decoding process. Every codec is written to a seekable
file, because only there the container can store how much of the beginning and end is the
codec's padding (LAME's gapless tag, MP4's edit list, Opus's pre-skip). The decoded clip then
begins and ends exactly where the original does. `delay` checks that once for each codec.

24 kbit/s does not exist in MPEG-1 layer III (44.1 kHz starts at 32 kbit/s). It is written
as MPEG-2 at 22.05 kHz, where 24 exists; or, with `paper_clamp`, as the paper's tools
wrote it: at 44.1 kHz, where the stream has 32.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.audio.files import Samples
from apollo_data.codec.delay import delay_samples
from apollo_data.codec.formats import FORMATS, coded_rate, require_encoders
from apollo_data.codec.graphs import Job, encode_and_decode
from apollo_data.codec.mp3 import mp3_bitrate_kbps, mp3_frames
from apollo_data.records import Coding
from apollo_data.settings import CodecSettings

__all__ = [
    "BATCH_CLIPS",
    "CodedClip",
    "coded_rate",
    "mp3_bitrate_kbps",
    "mp3_frames",
    "require_encoders",
    "round_trip",
]

BATCH_CLIPS = 32


@dataclass(frozen=True)
class CodedClip:
    """One decoded clip, (2, samples) float32, and the true bitrate of its stream.

    For a cascade, that of the last stream.
    """

    audio: Samples
    actual_kbps: float


def round_trip(
    clips: Sequence[Samples], codings: Sequence[Coding], rate: int, settings: CodecSettings
) -> list[CodedClip]:
    """Encode and decode clips, each by its own coding.

    Parameters
    ----------
    clips
        (2, samples) float32 each; levels above full scale are kept.
    codings
        How each clip is coded; the passes of a cascade follow one another.
    rate
        Their sample rate in hertz.
    settings
        The pipeline's.

    Returns
    -------
    list of CodedClip
        In the order of `clips`, each as long as its original and aligned with it.

    Raises
    ------
    AudioError
        ffmpeg failed, took too long, or returned too few samples.
    ToolError
        ffmpeg lacks an encoder.
    """
    require_encoders(step.codec for coding in codings for step in coding.steps)
    coded: list[CodedClip] = []
    for first in range(0, len(clips), BATCH_CLIPS):
        batch = slice(first, first + BATCH_CLIPS)
        coded += _round_trip_batch(clips[batch], codings[batch], rate, settings)
    return coded


def _round_trip_batch(
    clips: Sequence[Samples], codings: Sequence[Coding], rate: int, settings: CodecSettings
) -> list[CodedClip]:
    """Code a batch by its first passes, then cascades by their further passes."""
    coded = [CodedClip(clip, 0.0) for clip in clips]
    for stage in range(max(len(coding.steps) for coding in codings)):
        places = [place for place, coding in enumerate(codings) if stage < len(coding.steps)]
        heard = _code_once(
            [coded[place].audio for place in places],
            [codings[place].steps[stage] for place in places],
            rate,
            settings,
        )
        for place, clip in zip(places, heard, strict=True):
            coded[place] = clip
    return coded


def _code_once(
    clips: Sequence[Samples], codings: Sequence[Coding], rate: int, settings: CodecSettings
) -> list[CodedClip]:
    jobs = [_job(clip, coding, rate, settings) for clip, coding in zip(clips, codings, strict=True)]
    results = encode_and_decode(jobs, settings.timeout_seconds)
    coded: list[CodedClip] = []
    for clip, job, (heard, stream) in zip(clips, jobs, results, strict=True):
        audio = _resample(heard, job.rate, rate)[:, : clip.shape[1]]
        if (level := _level(clip, job.coding)) != 1.0:
            audio = audio * level
        coded.append(CodedClip(audio, FORMATS[job.coding.codec].bitrate_kbps(stream)))
    return coded


def _job(clip: Samples, coding: Coding, rate: int, settings: CodecSettings) -> Job:
    """Prepare a clip for encoding: level, sample rate and padding."""
    new_rate = coded_rate(coding, rate, settings.paper_clamp)
    level = _level(clip, coding)
    sent = _resample(clip if level == 1.0 else np.divide(clip, level), rate, new_rate)
    tail = FORMATS[coding.codec].tail_samples
    # Mirrored: an abrupt end would cost the encoder bits.
    sound = np.pad(sent, ((0, 0), (0, tail)), mode="symmetric") if tail else sent
    delay = delay_samples(coding.codec, new_rate, find_ffmpeg(), settings.timeout_seconds)
    return Job(sound, new_rate, coding, delay, sent.shape[1])


def _level(clip: Samples, coding: Coding) -> np.float32:
    """Return the divisor for encoding: the clip's peak if the codec would clip it, else 1."""
    if FORMATS[coding.codec].keeps_level:
        return np.float32(1.0)
    return np.maximum(np.float32(1.0), np.abs(clip).max())


def _resample(audio: Samples, rate: int, new_rate: int) -> Samples:
    return audio if rate == new_rate else soxr.resample(audio.T, rate, new_rate).T
