"""Recipes to clips: render and code them in few ffmpeg processes, or read them as pairs.

Shards and live training both use this module, so their clips are the same.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apollo_data.audio.audible import audible_peak
from apollo_data.audio.files import Samples
from apollo_data.codec.round_trip import CodedClip, round_trip
from apollo_data.errors import AudioError
from apollo_data.mixing import render, render_stems
from apollo_data.pairing.stage import read_pair
from apollo_data.records import MixRecipe
from apollo_data.settings import ClipSettings

_SILENT_PEAK = 1e-4  # -80 dBFS, the dither of 16 bits: nothing that could be restored


@dataclass(frozen=True)
class Clip:
    """A target, (2, samples), with its coded forms in the order of `recipe.codings`.

    `stems` are kept only if they are to be stored.
    """

    recipe: MixRecipe
    target: Samples
    coded: tuple[CodedClip, ...] = ()
    stems: tuple[Samples, ...] = ()


def make_clips(
    recipes: Sequence[MixRecipe], root: Path, decoded: Path, settings: ClipSettings
) -> list[Clip | AudioError]:
    """Render and code recipes.

    Parameters
    ----------
    recipes
        The draws.
    root
        The folder that their paths are relative to.
    decoded
        Folder of the decoded files of the user's own pairs.
    settings
        What the samples follow from, beside the recipes.

    Returns
    -------
    list
        For each recipe the clip, or the error if it cannot be made.
    """
    rendered = [_render_or_say(recipe, root, decoded, settings) for recipe in recipes]
    to_code = [item for item in rendered if isinstance(item, Clip) and not item.coded]
    coded = iter(_code(to_code, settings))
    return [next(coded) if isinstance(item, Clip) and not item.coded else item for item in rendered]


def _render_or_say(
    recipe: MixRecipe, root: Path, decoded: Path, settings: ClipSettings
) -> Clip | AudioError:
    try:
        clip = _render(recipe, root, decoded, settings)
    except AudioError as error:
        return error
    # A constant offset is no sound.
    is_silent = audible_peak(clip.target, settings.sample_rate) < _SILENT_PEAK
    return AudioError("the clip is silent") if is_silent else clip


def _render(recipe: MixRecipe, root: Path, decoded: Path, settings: ClipSettings) -> Clip:
    rate = settings.sample_rate
    if (pair := recipe.pair) is not None:  # the user's own pair is coded already
        clean, degraded = read_pair(pair, root, decoded, rate)
        return Clip(recipe, clean, (CodedClip(degraded, pair.degraded_kbps),))
    if not (settings.stems and recipe.stems):
        return Clip(recipe, render(recipe, root, rate))
    stems = tuple(render_stems(recipe, root, rate))
    return Clip(recipe, sum(stems[1:], start=stems[0]), stems=stems)


def _code(clips: Sequence[Clip], settings: ClipSettings) -> list[Clip | AudioError]:
    """Code a batch; if that fails, code its halves, down to the clip that fails."""
    jobs = [(clip.target, coding) for clip in clips for coding in clip.recipe.codings]
    if not jobs:
        return list(clips)
    targets, codings = [target for target, _ in jobs], [coding for _, coding in jobs]
    try:
        coded = iter(round_trip(targets, codings, settings.sample_rate, settings.codec))
    except AudioError as error:
        if len(clips) == 1:
            return [error]
        middle = len(clips) // 2
        return _code(clips[:middle], settings) + _code(clips[middle:], settings)
    return [
        dataclasses.replace(clip, coded=tuple(itertools.islice(coded, len(clip.recipe.codings))))
        for clip in clips
    ]
