"""Pairs that are mixed and coded on demand, as in the paper, without shards on disk.

The pairs equal those in shards and are made by the same functions: `MixPool` draws the recipes,
`render` mixes, `round_trip` codes, and both sides are divided by `common_scale`.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import get_worker_info

from apollo_data.activity.stage import activity_origin
from apollo_data.errors import DataError
from apollo_data.mixing import MixPool
from apollo_data.records import MixRecipe, StemActivity, Track
from apollo_data.settings import Settings
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_manifest
from apollo_data.workspace.rebuild_reasons import require_origin
from apollo_model.dataset.batch import PairBatch, put
from apollo_model.dataset.coding import StoredPair, make_pairs
from apollo_model.dataset.pairs import PairDataset

SUBSTITUTE_STEP = 1 << 40
"""Added to the recipe number for each attempt to replace a clip that cannot be made."""

_TRIES = 4
_MOST_WORKERS = 1024


class LiveMixDataset(PairDataset):
    """Pairs mixed from a working folder's songs, new ones in every epoch.

    Item `i` of an epoch is made from recipe ``epoch * length + i`` of the split. In epoch 0
    these are the pairs that shards with the same settings hold. One ffmpeg process encodes a
    batch and one decodes it, so a worker makes whole batches; 32 clips are the best size.

    A clip that cannot be made (damaged file, silence) is counted and replaced, with a warning.
    The replacement has the recipe `SUBSTITUTE_STEP` further on, so batches keep their size and
    every run gives the same pairs.

    Parameters
    ----------
    folder
        Working folder with tracks.jsonl and activity.jsonl.
    settings
        The pipeline's.
    split
        ``train`` or ``valid``. The user's own pairs are not included.
    length
        Items per epoch. None takes the number of clips in the settings.
    crop_samples, seed, as_stored
        As in `ShardDataset`. The seed is for the crops; recipes use the seed of the settings.

    Raises
    ------
    DataError
        A manifest is missing or was made with other settings, or the split has nothing to mix.
        While reading: several replacements in a row cannot be made.
    ToolError
        While reading: ffmpeg lacks an encoder.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        split: str = "train",
        length: int | None = None,
        crop_samples: int | None = None,
        seed: int = 0,
        as_stored: bool = False,
    ) -> None:
        counts = {"train": settings.shards.train_clips, "valid": settings.shards.valid_clips}
        if split not in counts:
            raise ValueError(f"split {split!r}: live mixing is for {' and '.join(counts)}")
        stored = torch.int16 if settings.shards.dtype == "int16" else torch.float32
        dtype = stored if as_stored else torch.float32
        super().__init__(settings.clip_samples, crop_samples, seed, dtype)
        work = WorkFolder.at(folder)
        tracks = read_manifest(work.tracks, "tracks", Track)
        self._tracks, self._root, self._decoded = tracks.rows, tracks.root, work.decoded
        remedy = "run `apollo-data sad` with these settings first"
        require_origin(work.activity, activity_origin(tracks, settings.activity), remedy)
        self._activity = read_manifest(work.activity, "activity", StemActivity).rows
        self._plan, self._clips = settings.for_plan(), settings.for_clips()
        self._dtype, self._split = settings.shards.dtype, split
        self._length = counts[split] if length is None else length
        self._pool: MixPool | None = None
        self._skipped = torch.zeros(1 + _MOST_WORKERS, dtype=torch.int64).share_memory_()
        self.recipe(0)

    @property
    def blocks(self) -> tuple[int, ...]:
        """One block with all items."""
        return (self._length,)

    def name_of(self, index: int) -> str:
        """Return the number of the recipe that the item is mixed by."""
        return f"{self._split} recipe {self.epoch * self._length + index}"

    @property
    def skipped(self) -> int:
        """Number of clips that could not be made so far, over all worker processes."""
        return int(self._skipped.sum())

    def recipe(self, index: int, tries: int = 0) -> MixRecipe:
        """Return the recipe of item `index` of the epoch after `tries` failed attempts."""
        if self._pool is None:  # one per process: generators cannot be shared
            self._pool = MixPool(self._tracks, self._activity, self._split, self._plan)
        number = self.epoch * self._length + index
        return self._pool.draw(number + tries * SUBSTITUTE_STEP)

    def __getitems__(self, indices: Sequence[int]) -> PairBatch:
        """Mix and code a batch."""
        self._check(indices)
        batch = self._empty_batch(len(indices))
        for place, stored in enumerate(self._make(indices)):
            stretch = self._crop(indices[place])
            for side, out in zip(stored, batch[place], strict=True):
                put(torch.from_numpy(side)[:, stretch], out)
        return batch

    def _make(self, indices: Sequence[int]) -> list[StoredPair]:
        made: dict[int, StoredPair] = {}
        missing = list(range(len(indices)))
        for tries in range(_TRIES):
            recipes = [self.recipe(indices[place], tries) for place in missing]
            results = make_pairs(recipes, self._root, self._decoded, self._clips, self._dtype)
            for place, result in zip(missing, results, strict=True):
                if isinstance(result, tuple):
                    made[place] = result
            errors = [result for result in results if not isinstance(result, tuple)]
            missing = [place for place in missing if place not in made]
            if not missing:
                return [made[place] for place in range(len(indices))]
            self._count(errors)
        raise DataError(f"{self._root}: {_TRIES} clips in a row cannot be made, last: {errors[-1]}")

    def _count(self, errors: Sequence[Exception]) -> None:
        worker = get_worker_info()
        # Each process has its own element, so two never write to the same one.
        self._skipped[0 if worker is None else 1 + worker.id] += len(errors)
        warnings.warn(
            f"live mixing: {len(errors)} clips cannot be made, others take their places; "
            f"first: {errors[0]}",
            RuntimeWarning,
            stacklevel=2,
        )

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pool": None}
