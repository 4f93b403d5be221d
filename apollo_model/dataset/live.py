"""Pairs mixed and coded as they are asked for: the paper's variant, with no shards on the disk.

What is made is what the shards would hold, by the same functions: recipes by `MixPool`,
sound by `render`, the coded side by `round_trip`, both divided by `common_scale`.
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
"""How far recipe numbers go on for each try to replace a clip that cannot be made."""

_TRIES = 4
_MOST_WORKERS = 1024


class LiveMixDataset(PairDataset):
    """Pairs of a working folder's songs, fresh ones in every epoch.

    Item `i` of an epoch is made from recipe ``epoch * length + i`` of the split: in epoch 0
    just what shards of these settings hold. A batch travels through one ffmpeg process each
    way, so a worker makes whole batches; 32 clips suit it best.

    A clip that cannot be made (damaged file, silence) is passed over with a warning and
    counted; its place takes the recipe `SUBSTITUTE_STEP` further on, so that batches keep
    their size and every run gives the same.

    Parameters
    ----------
    folder
        Working folder with tracks.jsonl and activity.jsonl.
    settings
        The pipeline's.
    split
        ``train`` or ``valid``. Pairs of the user's own are not among the clips.
    length
        Items an epoch; the number of clips that the settings give the split if None.
    crop_samples, seed, as_stored
        As in `ShardDataset`; the seed is the crops', the recipes have the settings'.

    Raises
    ------
    DataError
        A manifest is missing or was made with other settings, or the split has nothing to mix;
        on reading, several substitutes in a row cannot be made either.
    ToolError
        ffmpeg lacks an encoder; on reading.
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
        """All items in one."""
        return (self._length,)

    def name_of(self, index: int) -> str:
        """Return the number of the recipe that the item is mixed by."""
        return f"{self._split} recipe {self.epoch * self._length + index}"

    @property
    def skipped(self) -> int:
        """How many clips could not be made so far, in all worker processes."""
        return int(self._skipped.sum())

    def recipe(self, index: int, tries: int = 0) -> MixRecipe:
        """Return how item `index` of the epoch is made, after `tries` that failed."""
        if self._pool is None:  # for each process its own: generators are not for sharing
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
        # Each process adds in a place of its own, where no other can come between.
        self._skipped[0 if worker is None else 1 + worker.id] += len(errors)
        warnings.warn(
            f"live mixing: {len(errors)} clips cannot be made, others take their places; "
            f"first: {errors[0]}",
            RuntimeWarning,
            stacklevel=2,
        )

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_pool": None}
