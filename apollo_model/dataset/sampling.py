"""The order of an epoch: shuffled, read nearly in the order of the files, divided among ranks."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from apollo_data.errors import DataError
from apollo_data.random_streams import generator


class ShardBatches(Sampler[list[int]]):
    """Batches of pair numbers; a `batch_sampler` for DataLoader.

    The shards are shuffled, then the pairs within each window of some shards: a window's
    files are read while they are in the page cache, and only they need be open. The order
    follows from (seed, epoch) alone. Each rank takes an equal stretch of it; what does not
    divide, fewer pairs than there are ranks, is left out, others in each epoch. Apart from
    these every pair comes once per epoch, on one rank. The last batch may be smaller than
    the others, on every rank equally.

    Parameters
    ----------
    blocks
        How many pairs each shard holds.
    batch_size
        Pairs a batch on this rank.
    seed
        Of the order.
    rank, ranks
        This process and how many there are.
    window_shards
        How many shards are mixed with one another.
    max_batches
        The epoch ends after so many batches; the next one has another order.

    Attributes
    ----------
    first
        The batch that the next iteration, and that one alone, begins with.

    Raises
    ------
    DataError
        There are fewer pairs than ranks.

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
    ) -> None:
        if not 0 <= rank < ranks:
            raise ValueError(f"rank {rank} of {ranks}")
        self.batch_size, self.seed, self.rank, self.ranks = batch_size, seed, rank, ranks
        self.window_shards = window_shards
        self.epoch = 0
        self.first = 0
        self._blocks = np.asarray(blocks, dtype=np.int64)
        self._own = int(self._blocks.sum()) // ranks
        if not self._own:
            raise DataError(f"{self._blocks.sum()} pairs cannot be divided among {ranks} ranks")
        whole = -(-self._own // batch_size)
        self._batches = whole if max_batches is None else min(whole, max_batches)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next, from its beginning."""
        self.epoch, self.first = epoch, 0

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch."""
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        first, self.first = self.first, 0
        order = self.order()
        for batch in range(first, len(self)):
            yield order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()

    def order(self) -> npt.NDArray[np.int64]:
        """Return this rank's pairs of the epoch."""
        rng = generator(self.seed, "shuffle", self.epoch)
        starts = np.cumsum(self._blocks) - self._blocks
        shards = rng.permutation(len(self._blocks))
        windows = []
        for first in range(0, len(shards), self.window_shards):
            own = shards[first : first + self.window_shards]
            pairs = np.concatenate([starts[n] + np.arange(self._blocks[n]) for n in own])
            windows.append(rng.permutation(pairs))
        return np.concatenate(windows)[self.rank * self._own : (self.rank + 1) * self._own]

    def state_dict(self, taken: int) -> dict[str, Any]:
        """Return the state after `taken` batches of the epoch."""
        return {**self._identity(), "epoch": self.epoch, "taken": taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that a state says were taken.

        Raises
        ------
        DataError
            It is of other pairs or of another division of them.
        """
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise DataError(
                    f"loader state: has {name} {state.get(name)}, this loader {value}; "
                    "resume with the shards and settings that it was saved with"
                )
        self.epoch, self.first = int(state["epoch"]), int(state["taken"])

    def _identity(self) -> dict[str, Any]:
        """Return what the order follows from; the rank may be another, since all go in step."""
        return {
            "pairs": int(self._blocks.sum()),
            "shards": len(self._blocks),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "ranks": self.ranks,
            "window_shards": self.window_shards,
        }
