"""Rendering: a recipe to audio, without randomness and without a limiter.

Levels above full scale are kept; the codec stage divides both sides of a pair by one
common factor (the larger of their peaks), so nothing is ever clipped or compressed.
"""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np

from apollo_data.audio.files import Samples, files_of, read_sound
from apollo_data.records import MixRecipe, MixtureClip, StemClip

MAX_LIFT_DB = 30.0
"""No clip is raised by more than this towards its loudness, however quiet it is."""


def render(recipe: MixRecipe, root: Path, rate: int) -> Samples:
    """Render a recipe: the sum of its stems at their gains, or a section of a mixture.

    Parameters
    ----------
    recipe
        The draw.
    root
        The folder that the recipe's paths are relative to.
    rate
        Samples per second of the result.

    Returns
    -------
    Samples
        (2, samples) float32; not limited to full scale.

    Raises
    ------
    AudioError
        One of the files cannot be read.
    """
    if recipe.mixture is not None:
        return _read_clip(recipe.mixture, root, rate)
    stems = (_render_stem(clip, root, rate) for clip in recipe.stems)
    first = next(stems)
    return sum(stems, start=first)


def render_stems(recipe: MixRecipe, root: Path, rate: int) -> list[Samples]:
    """Render each stem of a recipe as it goes into the mix; `sum` of them is the mix, to the bit.

    The list is empty if the clip is cut from a mixture. Parameters and errors as in `render`.
    """
    return [_render_stem(clip, root, rate) for clip in recipe.stems]


def _render_stem(clip: StemClip, root: Path, rate: int) -> Samples:
    audio = _read_clip(clip, root, rate)
    gain_db = clip.gain_db
    if clip.normalise_lufs is not None:
        gain_db += lift_db(audio, rate, clip.normalise_lufs)
    audio = audio * np.float32(10.0 ** (gain_db / 20.0))
    if clip.swapped:
        audio = audio[::-1]
    if clip.pan is not None:
        audio = turn(audio, clip.pan)
    return -audio if clip.inverted else audio


def _read_clip(clip: StemClip | MixtureClip, root: Path, rate: int) -> Samples:
    files = files_of(root, clip.path, clip.sources)
    return read_sound(files, clip.start_seconds, round(clip.seconds * rate), rate)


def lift_db(audio: Samples, rate: int, target_lufs: float) -> float:
    """Return the gain that brings a clip to an integrated loudness (ITU-R BS.1770-4).

    Parameters
    ----------
    audio
        (2, samples) of 0.4 s or more.
    rate
        Samples per second.
    target_lufs
        The loudness to reach.

    Returns
    -------
    float
        Gain in dB, at most `MAX_LIFT_DB`. A clip below the measure's absolute gate (-70 LUFS),
        such as silence, has no loudness and gets the largest gain; it stays quiet.
    """
    loudness = _meter(rate).integrated_loudness(audio.T.astype(np.float64))
    return min(target_lufs - loudness, MAX_LIFT_DB) if math.isfinite(loudness) else MAX_LIFT_DB


@functools.cache
def _meter(rate: int) -> Any:
    import pyloudnorm  # imported here: it takes most of a second, and few runs need it

    return pyloudnorm.Meter(rate)


def turn(audio: Samples, pan: float) -> Samples:
    """Rotate the stereo image: pan -1 moves the middle to the left, +1 to the right.

    Left and right, seen as a point of the plane, are rotated by up to 45 degrees. For a
    centred sound this is the sine/cosine pan law. The power of any sound is kept,
    however wide it is; channel gains alone would not keep it.

    Parameters
    ----------
    audio
        (2, samples).
    pan
        -1 to +1.

    Examples
    --------
    >>> turn(np.ones((2, 1), np.float32), 1.0).round(3).tolist()
    [[0.0], [1.4140000343322754]]
    """
    angle = pan * math.pi / 4.0
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    left, right = audio
    return np.stack([cosine * left - sine * right, sine * left + cosine * right])
