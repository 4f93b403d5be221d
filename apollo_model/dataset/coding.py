"""Recipes to pairs as shards store them, in as few ffmpeg processes as possible."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_data.audio import Samples
from apollo_data.codec import CodedClip, round_trip
from apollo_data.errors import AudioError
from apollo_data.mixing import render
from apollo_data.records import MixRecipe
from apollo_data.settings import Settings
from apollo_data.shards import common_scale, store

StoredPair = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""(coded, clean), each (2, samples) int16 or float32."""

_SILENT_PEAK = 1e-5  # as in apollo_data.building: nothing to restore, nothing to divide by

_Job = tuple[MixRecipe, Samples]


def make_pairs(
    recipes: Sequence[MixRecipe], root: Path, settings: Settings
) -> list[StoredPair | AudioError]:
    """Render and code recipes of one coding each.

    Parameters
    ----------
    recipes
        The draws.
    root
        The folder that their paths are relative to.
    settings
        The pipeline's.

    Returns
    -------
    list
        For each recipe the pair or, where it cannot be made, why.
    """
    rendered = [_render(recipe, root, settings.sample_rate) for recipe in recipes]
    jobs = [
        (recipe, sound)
        for recipe, sound in zip(recipes, rendered, strict=True)
        if not isinstance(sound, AudioError)
    ]
    pairs = iter(_code(jobs, settings))
    return [sound if isinstance(sound, AudioError) else next(pairs) for sound in rendered]


def _render(recipe: MixRecipe, root: Path, rate: int) -> Samples | AudioError:
    try:
        sound = render(recipe, root, rate)
    except AudioError as error:
        return error
    return AudioError("the clip is silent") if np.abs(sound).max() < _SILENT_PEAK else sound


def _code(jobs: Sequence[_Job], settings: Settings) -> list[StoredPair | AudioError]:
    """Code a batch; where that fails, its halves, until the clip that fails stands alone."""
    clips, codings = [clip for _, clip in jobs], [recipe.codings[0] for recipe, _ in jobs]
    try:
        coded = round_trip(clips, codings, settings.sample_rate, settings.codec)
    except AudioError as error:
        if len(jobs) == 1:
            return [error]
        middle = len(jobs) // 2
        return _code(jobs[:middle], settings) + _code(jobs[middle:], settings)
    dtype = settings.shards.dtype
    return [_store(clean, heard, dtype) for clean, heard in zip(clips, coded, strict=True)]


def _store(clean: Samples, heard: CodedClip, dtype: str) -> StoredPair:
    scale = common_scale([clean, heard.audio])
    return store(heard.audio, scale, dtype), store(clean, scale, dtype)
