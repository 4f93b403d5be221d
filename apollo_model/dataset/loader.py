"""The loader: a DataLoader over pairs that counts the batches its caller received."""

import atexit
import functools
import os
import signal
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from torch.utils.data import DataLoader

from apollo_data.errors import ApolloError, DataError
from apollo_model.dataset.batch import Pair, collate_pairs
from apollo_model.dataset.pairs import PairDataset
from apollo_model.dataset.sampling import ShardBatches


def _in_one_line(error: ApolloError) -> ApolloError:
    """Return a worker's error without the traceback that DataLoader puts into its message."""
    kind = type(error)
    last = str(error).rstrip().splitlines()[-1]
    return kind(last.removeprefix(f"{kind.__module__}.{kind.__qualname__}: "))


def explain_loader_error(error: Exception) -> DataError | None:
    """Return what a failure of worker processes means, or None if it is something else.

    torch may raise these anywhere in the main process, not only where a batch is taken.
    """
    text = str(error)
    if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpect" in text):
        reason = "which happens when memory or /dev/shm runs out"
    elif "unable to write to file" in text or "unable to allocate shared memory" in text:
        reason = "/dev/shm is full"
    else:
        return None
    return DataError(
        f"a loader worker ended ({' '.join(text.split())[:120]}), {reason}; "
        "lower training.loader_workers or training.batch_size, or enlarge /dev/shm"
    )


class PairLoader:
    """Batches of (coded, clean), each (batch, 2, samples), in the order of `ShardBatches`.

    `state_dict` counts the batches that the caller received, not those that workers have read
    ahead. So a run can stop in the middle of an epoch and resume there.

    Parameters
    ----------
    dataset
        `ShardDataset` or `LiveMixDataset`.
    batch_size, seed, rank, ranks, window_shards, max_batches, accumulate
        As in `ShardBatches`.
    workers
        Number of processes that read ahead; with 0 this process reads.
    start_method
        How workers start: ``fork``, ``spawn`` or ``forkserver``; None is the system's default.
    pin_memory
        Return batches in pinned memory, so that copies to a GPU overlap with computation.

    Raises
    ------
    DataError
        On iterating: a pair cannot be read, or a worker process was killed.

    Examples
    --------
    >>> loader = PairLoader(dataset, batch_size=32, workers=2)  # doctest: +SKIP
    >>> for epoch in range(loader.epoch, epochs):  # doctest: +SKIP
    ...     loader.set_epoch(epoch)
    ...     for coded, clean in loader:
    ...         step(*to_float((coded, clean), device))
    """

    def __init__(
        self,
        dataset: PairDataset,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        window_shards: int = 8,
        max_batches: int | None = None,
        workers: int = 0,
        start_method: str | None = None,
        pin_memory: bool = False,
        accumulate: int = 1,
    ) -> None:
        self.dataset = dataset
        self._batches = ShardBatches(
            dataset.blocks, batch_size, seed, rank, ranks, window_shards, max_batches, accumulate
        )
        self._taken = 0
        closing = torch.zeros((), dtype=torch.uint8).share_memory_()
        weakref.finalize(self, closing.fill_, 1).atexit = False
        atexit.register(closing.fill_, 1)  # runs before multiprocessing ends its workers
        self._loader = DataLoader(
            dataset,
            batch_sampler=self._batches,
            num_workers=workers,
            collate_fn=collate_pairs,
            pin_memory=pin_memory,
            multiprocessing_context=start_method,
            persistent_workers=workers > 0,
            worker_init_fn=functools.partial(_leave_signals_to_parent, closing),
            generator=torch.Generator(),  # else each epoch would draw from the global one
        )

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return self._batches.epoch

    @property
    def taken(self) -> int:
        """How many batches of the epoch were handed out."""
        return self._taken

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch. After `load_state_dict`, its epoch resumes where it stopped."""
        if epoch != self.epoch:
            self._batches.set_epoch(epoch)
            self._taken = 0
        self.dataset.set_epoch(epoch)

    def pairs_of(self, batch: int) -> list[int]:
        """Return the pair numbers of this rank's batch `batch` of the epoch."""
        return self._batches.batch(batch)

    def __len__(self) -> int:
        """Return the number of batches in a whole epoch."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Pair]:
        self._taken = self._batches.first
        try:
            for batch in self._loader:
                self._taken += 1
                yield batch
        except ApolloError as error:
            raise _in_one_line(error) from None
        except RuntimeError as error:
            explained = explain_loader_error(error)
            if explained is None:
                raise
            raise explained from None

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the epoch as plain values, for `torch.save` or JSON."""
        return self._batches.state_dict(self._taken)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume after the batches that `state` counts as taken.

        Raises
        ------
        DataError
            It was saved with other pairs or divided them differently.
        """
        self._batches.load_state_dict(state)
        self._taken = self._batches.first
        self.dataset.set_epoch(self.epoch)


def _leave_signals_to_parent(closing: torch.Tensor, _worker: int) -> None:
    """Let a worker ignore what a terminal or a scheduler sends to all processes of a job.

    The main process saves its state first, and needs its workers until then. Once it sets
    `closing`, the SIGTERM by which it ends its workers counts.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        if closing.item():
            os._exit(0)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
