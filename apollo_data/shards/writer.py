"""The shard writer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from apollo_data.audio.files import Samples
from apollo_data.records import MixRecipe
from apollo_data.shards.compression import dataset_options
from apollo_data.shards.layout import (
    FORMAT,
    FORMAT_VERSION,
    PAIR_TYPES,
    STEM_TYPES,
    common_scale,
    stem_scale,
    store,
)
from apollo_data.workspace.manifest import to_json


@dataclass(frozen=True)
class ShardHead:
    """The root attributes of a shard."""

    split: str
    sample_rate: int
    clip_seconds: float
    samples: int
    dtype: str
    settings: str
    settings_sha256: str
    software: str
    key: str
    compression: str = "none"
    stems: bool = False


class ShardWriter:
    """Write one shard row by row; the caller renames it when it is complete.

    Use as a context manager on a temporary path. `complete` is written last, when the
    block has succeeded.
    """

    def __init__(self, path: Path, head: ShardHead, targets: int, pairs: int) -> None:
        self._head = head
        # Without a cache each row is written at once, and the file's bytes follow from its rows
        # alone. A cached row would get its place when its handle is closed, and that time varies if
        # another thread holds references to this one's frames, as Dask's profiler does.
        self._file = h5py.File(path, "w", rdcc_nbytes=0, locking=False)
        for name, count in (("target", targets), ("codec", pairs)):
            self._create_sound(name, count)
        if head.stems:
            self._create_sound("stem", 0)
        self._recipes: list[str] = []
        self._pairs: dict[str, list[Any]] = {name: [] for name in PAIR_TYPES}
        self._stems: dict[str, list[Any]] = {name: [] for name in STEM_TYPES}

    def _create_sound(self, name: str, count: int) -> None:
        row = (2, self._head.samples)
        shape: dict[str, Any] = {"maxshape": (None, *row), "chunks": (1, *row)}
        options = dataset_options(self._head.compression, self._file.filename)
        self._file.create_dataset(name, (count, *row), self._head.dtype, **shape, **options)

    def add(
        self,
        recipe: MixRecipe,
        target: Samples,
        coded: Sequence[Samples],
        actual: Sequence[float],
        stems: Sequence[Samples] = (),
    ) -> None:
        """Add one target, (2, samples), with its coded forms in the order of `recipe.codings`.

        `stems`, where the shard has any, are in the order of `recipe.stems` and at the level
        at which they sum to the target.
        """
        scale = common_scale([target, *coded])
        number = len(self._recipes)
        self._file["target"][number] = store(target, scale, self._head.dtype)
        for coding, audio, actual_kbps in zip(recipe.codings, coded, actual, strict=True):
            place = len(self._pairs["scale"])
            self._file["codec"][place] = store(audio, scale, self._head.dtype)
            asked = coding.steps[-1].requested_kbps
            requested_kbps = np.nan if asked is None else asked
            values = (number, requested_kbps, actual_kbps, coding.codecs, scale)
            for column, value in zip(self._pairs.values(), values, strict=True):
                column.append(value)
        for clip, stem in zip(recipe.stems, stems, strict=False):
            self._add_stem(number, clip.stem_class, stem, scale)
        self._recipes.append(json.dumps(to_json(recipe), ensure_ascii=True))

    def _add_stem(self, target: int, stem_class: str, stem: Samples, scale: float) -> None:
        place = len(self._stems["target"])
        self._file["stem"].resize(place + 1, axis=0)
        own = stem_scale(stem, scale)
        self._file["stem"][place] = store(stem, scale * own, self._head.dtype)
        for column, value in zip(self._stems.values(), (target, stem_class, own), strict=True):
            column.append(value)

    @property
    def targets(self) -> int:
        """Targets written so far."""
        return len(self._recipes)

    @property
    def pairs(self) -> int:
        """Pairs written so far."""
        return len(self._pairs["scale"])

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()

    def _finish(self) -> None:
        self._file["target"].resize(self.targets, axis=0)
        self._file["codec"].resize(self.pairs, axis=0)
        for name, values in self._pairs.items():
            self._file.create_dataset(f"pair/{name}", data=values, dtype=PAIR_TYPES[name])
        for name, values in self._stems.items() if self._head.stems else ():
            self._file.create_dataset(f"stem_index/{name}", data=values, dtype=STEM_TYPES[name])
        self._file.create_dataset("recipe", data=self._recipes, dtype=h5py.string_dtype())
        head = self._head
        self._file.attrs.update(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "sample_rate": head.sample_rate,
                "clip_seconds": head.clip_seconds,
                "split": head.split,
                "settings": head.settings,
                "settings_sha256": head.settings_sha256,
                "software": head.software,
                "key": head.key,
            }
        )
        self._file.attrs["complete"] = True
