"""The base class of data sets of pairs: crops, the epoch, and what the loader needs."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from apollo_data.random_streams import generator
from apollo_model.dataset.batch import Pair, PairBatch
from apollo_model.dataset.buffers import Buffers


class PairDataset(Dataset[Pair]):
    """Numbered pairs, which may differ between epochs.

    Parameters
    ----------
    clip_samples
        Length of a whole clip.
    crop_samples
        Length of a random crop; None or more than the clip takes the whole clip.
    seed
        The crop of an item follows from (seed, epoch, item) alone.
    dtype
        Of the items: torch.float32 with full scale 1.0, or torch.int16 as shards store it.

    Attributes
    ----------
    samples
        Length of an item.
    """

    def __init__(
        self, clip_samples: int, crop_samples: int | None, seed: int, dtype: torch.dtype
    ) -> None:
        self.samples = min(crop_samples or clip_samples, clip_samples)
        self.dtype = dtype
        self._buffers = Buffers()
        self._clip_samples = clip_samples
        self._seed = seed
        # In shared memory, so that workers that outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, in worker processes too."""
        self._epoch.fill_(epoch)

    @property
    @abstractmethod
    def blocks(self) -> Sequence[int]:
        """Number of items in each shard."""

    @abstractmethod
    def name_of(self, index: int) -> str:
        """Return what item `index` is called in messages, such as its shard and number."""

    @abstractmethod
    def __getitems__(self, indices: Sequence[int]) -> PairBatch:
        """Return many items at once; DataLoader asks for each batch this way."""

    def __len__(self) -> int:
        return sum(self.blocks)

    def __getitem__(self, index: int) -> Pair:
        return self.__getitems__([index])[0]

    def _empty_batch(self, pairs: int) -> PairBatch:
        shape = (pairs, 2, self.samples)
        coded, clean = (self._buffers.empty(shape, self.dtype) for _side in range(2))
        return PairBatch(coded, clean)

    def _check(self, indices: Sequence[int]) -> None:
        length = len(self)
        for index in indices:
            if not 0 <= index < length:
                raise IndexError(f"pair {index} of {length}")

    def _crop(self, index: int) -> slice:
        spare = self._clip_samples - self.samples
        if not spare:
            return slice(0, self.samples)
        rng = generator(self._seed, f"crop/{self.epoch}", index)
        start = int(rng.integers(spare + 1))
        return slice(start, start + self.samples)
