"""Makes pairs from recipes, in the form in which shards store them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from apollo_data.errors import AudioError
from apollo_data.records import MixRecipe
from apollo_data.settings import ClipSettings
from apollo_data.shards import common_scale, store
from apollo_data.shards.clips import Clip, make_clips

StoredPair = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""(coded, clean), each (2, samples) int16 or float32."""


def make_pairs(
    recipes: Sequence[MixRecipe], root: Path, decoded: Path, settings: ClipSettings, dtype: str
) -> list[StoredPair | AudioError]:
    """Return a pair for each recipe of one coding, or the error if it cannot be made."""
    made = make_clips(recipes, root, decoded, settings)
    return [clip if isinstance(clip, AudioError) else _store(clip, dtype) for clip in made]


def _store(clip: Clip, dtype: str) -> StoredPair:
    heard = clip.coded[0].audio
    scale = common_scale([clip.target, heard])
    return store(heard, scale, dtype), store(clip.target, scale, dtype)
