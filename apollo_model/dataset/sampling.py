"""The order of an epoch: shuffled within windows of shards, and divided among ranks."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from apollo_data.errors import DataError
from apollo_data.random_streams import generator


class ShardBatches(Sampler[list[int]]):
    """Batches of pair numbers; a `batch_sampler` for DataLoader.

    The shards are shuffled, then the pairs within each window of `window_shards` shards. So
    only the files of one window are open, and they are read while they are in the page cache.
    The order depends on (seed, epoch) only.

    A step takes ``ranks * accumulate`` consecutive batches of this order, `accumulate` on
    each rank. So one rank with ``accumulate=8`` and eight ranks with 1 take the same batches
    in each step. In the last step of an epoch the batches may be smaller, all of them
    equally. Pairs that cannot be divided (fewer than a step has batches) are left out, different
    ones in each epoch. Every other pair comes once per epoch, on one rank.

    Parameters
    ----------
    blocks
        Number of pairs in each shard.
    batch_size
        Pairs per batch.
    seed
        Seed of the order.
    rank, ranks
        Number of this process, and how many there are.
    window_shards
        Number of shards whose pairs are shuffled together.
    max_batches
        The epoch ends after this many batches on this rank, a multiple of `accumulate`; the
        next one has another order.
    accumulate
        Batches that this rank takes in a step.

    Attributes
    ----------
    first
        First batch of the next iteration; later ones start at 0.

    Raises
    ------
    DataError
        There are fewer pairs than a step has batches.

    Examples
    --------
    >>> batches = ShardBatches([3, 2], batch_size=2, seed=1)
    >>> sorted(pair for batch in batches for pair in batch)
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        blocks: Sequence[int],
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        window_shards: int = 8,
        max_batches: int | None = None,
        accumulate: int = 1,
    ) -> None:
        if not 0 <= rank < ranks:
            raise ValueError(f"rank {rank} of {ranks}")
        if max_batches is not None and max_batches % accumulate:
            raise ValueError(f"max_batches {max_batches} is no multiple of {accumulate}")
        self.batch_size, self.seed, self.rank, self.ranks = batch_size, seed, rank, ranks
        self.window_shards, self.accumulate = window_shards, accumulate
        self.epoch = 0
        self.first = 0
        self._blocks = np.asarray(blocks, dtype=np.int64)
        parts = ranks * accumulate
        pairs = int(self._blocks.sum())
        if pairs < parts:
            divided = f"among {ranks} ranks" if accumulate == 1 else f"into {parts} batches"
            raise DataError(f"{pairs} pairs cannot be divided {divided}")
        whole, rest = divmod(pairs, parts * batch_size)
        steps = whole + (rest >= parts)
        if max_batches is not None:
            steps = min(steps, max_batches // accumulate)
        self._batches = steps * accumulate

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration, which starts at its first batch."""
        self.epoch, self.first = epoch, 0

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch, on this rank."""
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        first, self.first = self.first, 0
        order = self.order()
        for number in range(first, len(self)):
            yield self._batch(order, number)

    def batch(self, number: int) -> list[int]:
        """Return the pairs of this rank's batch `number` of the epoch."""
        return self._batch(self.order(), number)

    def _batch(self, order: npt.NDArray[np.int64], number: int) -> list[int]:
        step, own = divmod(number, self.accumulate)
        parts = self.ranks * self.accumulate
        start = step * parts * self.batch_size
        size = min(self.batch_size, (len(order) - start) // parts)
        start += (self.rank * self.accumulate + own) * size
        return order[start : start + size].tolist()

    def order(self) -> npt.NDArray[np.int64]:
        """Return the pairs of the epoch, those of all ranks."""
        rng = generator(self.seed, "shuffle", self.epoch)
        starts = np.cumsum(self._blocks) - self._blocks
        shards = rng.permutation(len(self._blocks))
        windows = []
        for first in range(0, len(shards), self.window_shards):
            own = shards[first : first + self.window_shards]
            pairs = np.concatenate([starts[n] + np.arange(self._blocks[n]) for n in own])
            windows.append(rng.permutation(pairs))
        return np.concatenate(windows)

    def state_dict(self, taken: int) -> dict[str, Any]:
        """Return the state after `taken` batches of the epoch on this rank.

        It counts steps, and so holds for any division of a step's batches among ranks. A step
        that was taken in part is begun anew.
        """
        return {**self._identity(), "epoch": self.epoch, "steps": taken // self.accumulate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume after the batches that `state` counts as taken.

        Raises
        ------
        DataError
            It was saved with other pairs or divided them differently.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise DataError(
                    f"loader state: has {name} {state.get(name)}, this loader {value}; "
                    "resume with the shards and settings that it was saved with"
                )
        self.epoch, self.first = int(state["epoch"]), int(state["steps"]) * self.accumulate

    def _identity(self) -> dict[str, Any]:
        """Return what the order and a step follow from."""
        return {
            "pairs": int(self._blocks.sum()),
            "shards": len(self._blocks),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "batches_per_step": self.ranks * self.accumulate,
            "window_shards": self.window_shards,
        }
