"""Shard layout: names, types and levels that the writer and the reader share."""

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from apollo_data.audio.files import Samples

FORMAT = "apollo-shard"
FORMAT_VERSION = 1
INT16_FULL_SCALE = 32767.0

PAIR_TYPES: dict[str, Any] = {
    "target_index": np.int32,
    "requested_kbps": np.float32,
    "actual_kbps": np.float32,
    "codec": h5py.string_dtype(),
    "scale": np.float32,
}
STEM_TYPES: dict[str, Any] = {
    "target": np.int32,
    "class": h5py.string_dtype(),
    "scale": np.float32,
}


def common_scale(sides: Sequence[Samples]) -> float:
    """Return the largest peak of all sides, the factor that they are all divided by."""
    return float(max(np.abs(side).max() for side in sides))


def stem_scale(stem: Samples, scale: float) -> float:
    """Return a stem's own divisor beside `scale`: 1, or its peak if it is louder than the mix.

    A stem can be louder than its mix, and int16 would clip it then.
    """
    return max(1.0, float(np.abs(stem).max()) / scale)


def store(audio: Samples, scale: float, dtype: str) -> npt.NDArray[Any]:
    """Return audio divided by `scale` as a shard holds it: int16 full scale, or float32."""
    scaled = audio / np.float32(scale)
    if dtype == "float32":
        return scaled
    return np.rint(scaled * np.float32(INT16_FULL_SCALE)).astype(np.int16)


def to_float(stored: npt.NDArray[Any]) -> Samples:
    """Return stored rows as float32 with full scale 1.0."""
    if stored.dtype == np.int16:
        return stored.astype(np.float32) / np.float32(INT16_FULL_SCALE)
    return stored
