"""Shards as a PyTorch data set of (coded, clean) pairs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from apollo_data.errors import DataError
from apollo_model.dataset.batch import PairBatch, put
from apollo_model.dataset.handles import OpenShards
from apollo_model.dataset.pairs import PairDataset

_Read = Callable[[int, npt.NDArray[Any]], None]

_TORCH_TYPES = {np.dtype(np.int16): torch.int16, np.dtype(np.float32): torch.float32}


@dataclass(frozen=True)
class PairInfo:
    """Where a pair comes from and how it was coded; `coding` has all details.

    `requested_kbps` is NaN if no bitrate was requested.
    """

    shard: Path
    pair: int
    target: int
    category: str
    codec: str
    requested_kbps: float
    actual_kbps: float
    coding: str


class ShardDataset(PairDataset):
    """All pairs of some shards, in the shards' order.

    An item is (coded, clean), each (2, samples). The process that reads a file opens it, so
    the data set may be pickled or forked.

    Parameters
    ----------
    shards
        Paths of shards, all of one clip length and stored in one type.
    crop_samples
        Length of a random crop; None or more than the clip takes the whole clip.
    seed
        The crop of an item follows from (seed, epoch, item) alone.
    as_stored
        Return items as the shards store them (usually int16), for `to_float` to convert.
        Otherwise items are float32 with full scale 1.0.
    max_open
        Largest number of files that each process keeps open.

    Raises
    ------
    DataError
        A file is not a complete shard, or differs from the first in type or clip length.

    Examples
    --------
    >>> dataset = ShardDataset(find_shards(Path("data/demo/shards"), "train"))  # doctest: +SKIP
    >>> coded, clean = dataset[0]  # doctest: +SKIP
    """

    def __init__(
        self,
        shards: Sequence[Path],
        crop_samples: int | None = None,
        seed: int = 0,
        as_stored: bool = False,
        max_open: int = 64,
    ) -> None:
        self._shards = OpenShards([Path(shard) for shard in shards], max_open)
        counts, self._stored, samples = _survey(self._shards)
        self._blocks = tuple(counts)
        self._ends = np.cumsum(counts)
        super().__init__(samples, crop_samples, seed, self._stored if as_stored else torch.float32)
        self.close()

    @property
    def blocks(self) -> tuple[int, ...]:
        """How many pairs each shard holds."""
        return self._blocks

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitems__(self, indices: Sequence[int]) -> PairBatch:
        """Return pairs in the order of `indices`. They are read in the order of the files."""
        self._check(indices)
        batch = self._empty_batch(len(indices))
        spare = torch.empty((2, self._clip_samples), dtype=self._stored)
        for place in np.argsort(indices, kind="stable").tolist():
            shard, pair = self._locate(indices[place])
            stretch = self._crop(indices[place])
            coded, clean = batch[place]
            _read_side(self._shards[shard].read_coded, pair, stretch, spare, coded)
            _read_side(self._shards[shard].read_clean, pair, stretch, spare, clean)
        return batch

    def _locate(self, index: int) -> tuple[int, int]:
        """Return (number of the shard, number of the pair in it)."""
        shard = int(np.searchsorted(self._ends, index, side="right"))
        return shard, index - (int(self._ends[shard - 1]) if shard else 0)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The shards."""
        return self._shards.paths

    def name_of(self, index: int) -> str:
        """Return a pair's shard, with its folder's name, and its number in the shard."""
        self._check([index])
        number, pair = self._locate(index)
        path = self._shards.paths[number]
        return f"{path.parent.name}/{path.name} pair {pair}"

    def describe(self, index: int) -> PairInfo:
        """Return where pair `index` comes from."""
        self._check([index])
        number, pair = self._locate(index)
        shard = self._shards[number].reader
        target = int(shard.target_index[pair])
        return PairInfo(
            shard=self._shards.paths[number],
            pair=pair,
            target=target,
            category=shard.recipe(target).category,
            codec=str(shard.codec_names[pair]),
            requested_kbps=float(shard.requested_kbps[pair]),
            actual_kbps=float(shard.actual_kbps[pair]),
            coding=shard.coding(pair).label,
        )

    def close(self) -> None:
        """Close all files. They are opened again when needed."""
        self._shards.close()


def _survey(shards: OpenShards) -> tuple[list[int], torch.dtype, int]:
    """Return how many pairs each shard holds, their type and their length in samples."""
    counts: list[int] = []
    kinds: set[tuple[np.dtype[Any], int]] = set()
    for number, path in enumerate(shards.paths):
        shard = shards[number]
        counts.append(shard.reader.pairs)
        kinds.add((shard.dtype, shard.reader.samples))
        if len(kinds) > 1:
            raise DataError(
                f"{path}: holds {shard.dtype} clips of {shard.reader.samples} samples, the shards "
                f"before it others than that; load them apart"
            )
    dtype, samples = kinds.pop() if kinds else (np.dtype(np.int16), 0)
    return counts, _TORCH_TYPES[dtype], samples


def _read_side(read: _Read, pair: int, stretch: slice, spare: Tensor, out: Tensor) -> None:
    """Read one side of a pair into `out`, through `spare` if type or shape differ."""
    if (out.dtype, out.shape) == (spare.dtype, spare.shape):
        read(pair, out.numpy())
        return
    read(pair, spare.numpy())
    put(spare[:, stretch], out)
