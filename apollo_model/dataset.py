"""Shards as a PyTorch data set of (coded, clean) pairs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from apollo_data.randomness import generator
from apollo_data.shards import ShardReader


@dataclass(frozen=True)
class PairInfo:
    """Where a pair comes from and how it was coded, in short and, in `coding`, in full.

    Where no bitrate was asked for, `requested_kbps` is NaN.
    """

    shard: Path
    pair: int
    target: int
    category: str
    codec: str
    requested_kbps: float
    actual_kbps: float
    coding: str


class ShardDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """All pairs of some shards, in the shards' order.

    An item is (coded, clean), each (2, samples) float32 with full scale 1.0. Files are
    opened by the process that reads them, so the data set may be pickled or forked.

    Parameters
    ----------
    shards
        Paths of shards, all of one clip length.
    crop_samples
        Length of a random crop; None or more than the clip takes the whole clip.
    seed
        The crop of an item follows from (seed, epoch, item) alone.

    Examples
    --------
    >>> dataset = ShardDataset(find_shards(Path("data/demo/shards"), "train"))  # doctest: +SKIP
    >>> coded, clean = dataset[0]  # doctest: +SKIP
    """

    def __init__(
        self, shards: Sequence[Path], crop_samples: int | None = None, seed: int = 0
    ) -> None:
        self._shards = tuple(Path(shard) for shard in shards)
        self._seed = seed
        self._epoch = 0
        self._crop_samples = crop_samples
        self._readers: dict[int, ShardReader] = {}
        self._owner = os.getpid()
        counts = []
        for number in range(len(self._shards)):
            counts.append(self._reader(number).pairs)
        self._ends = np.cumsum(counts)
        self.close()

    def set_epoch(self, epoch: int) -> None:
        """Choose the crops of an epoch."""
        self._epoch = epoch

    def close(self) -> None:
        """Close all files; reading opens them again."""
        for reader in self._readers.values():
            reader.close()
        self._readers = {}

    def _reader(self, number: int) -> ShardReader:
        if self._owner != os.getpid():
            self._readers, self._owner = {}, os.getpid()
        if number not in self._readers:
            self._readers[number] = ShardReader(self._shards[number])
        return self._readers[number]

    def _locate(self, index: int) -> tuple[int, int]:
        """Return (number of the shard, pair in it)."""
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return shard, index - (int(self._ends[shard - 1]) if shard else 0)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        shard, pair = self._locate(index)
        coded, clean = self._reader(shard).read_pair(pair)
        stretch = self._crop(index, coded.shape[-1])
        return torch.from_numpy(coded[:, stretch]), torch.from_numpy(clean[:, stretch])

    def _crop(self, index: int, samples: int) -> slice:
        if self._crop_samples is None or self._crop_samples >= samples:
            return slice(0, samples)
        rng = generator(self._seed, f"crop/{self._epoch}", index)
        start = int(rng.integers(samples - self._crop_samples + 1))
        return slice(start, start + self._crop_samples)

    def describe(self, index: int) -> PairInfo:
        """Return where pair `index` comes from."""
        number, pair = self._locate(index)
        shard = self._reader(number)
        target = int(shard.target_index[pair])
        return PairInfo(
            shard=self._shards[number],
            pair=pair,
            target=target,
            category=shard.recipe(target).category,
            codec=str(shard.codec_names[pair]),
            requested_kbps=float(shard.requested_kbps[pair]),
            actual_kbps=float(shard.actual_kbps[pair]),
            coding=shard.coding(pair).label,
        )

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_readers": {}}
