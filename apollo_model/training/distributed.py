"""The processes that train together, as torchrun starts them; one alone needs none of it."""

import contextlib
import datetime
import inspect
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from apollo_data.errors import ToolError
from apollo_model.network.precision import choose_device

T = TypeVar("T")
_PATIENCE = datetime.timedelta(minutes=30)  # the others may wait for one that fetches or writes
_PARAMETERS = inspect.signature(DistributedDataParallel).parameters
# Buffers follow from the weights alone, and so are equal everywhere. torch 2.13 renamed this.
_SYNC_BUFFERS = "forward_sync_buffers"
if _SYNC_BUFFERS not in _PARAMETERS:
    _SYNC_BUFFERS = "broadcast_buffers"


@dataclass(frozen=True)
class World:
    """The processes that train together, seen from one of them.

    Attributes
    ----------
    device
        Where this process computes.
    rank, ranks
        Its number and how many there are.
    """

    device: torch.device
    rank: int = 0
    ranks: int = 1
    _control: Any = None
    """A group for flags and plain values on the CPU, whatever the gradients travel by."""

    @property
    def is_writer(self) -> bool:
        """Whether this process prints and writes."""
        return self.rank == 0

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is set in any process; all must ask together."""
        if self.ranks == 1:
            return flags
        votes = torch.tensor(flags, dtype=torch.uint8)
        torch.distributed.all_reduce(votes, torch.distributed.ReduceOp.MAX, self._control)
        return tuple(bool(vote) for vote in votes)

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, in the order of their ranks, to all of them."""
        if self.ranks == 1:
            return [value]
        found: list[Any] = [None] * self.ranks
        torch.distributed.all_gather_object(found, value, self._control)
        return found

    def share(self, value: T) -> T:
        """Return rank 0's value to all processes."""
        if self.ranks == 1:
            return value
        box: list[Any] = [value if self.is_writer else None]
        torch.distributed.broadcast_object_list(box, 0, self._control)
        return box[0]

    def replicate(self, module: nn.Module) -> nn.Module:
        """Return the module with its gradients averaged over all processes."""
        if self.ranks == 1:
            return module
        place = [self.device.index] if self.device.type == "cuda" else None
        options: dict[str, Any] = {"device_ids": place, _SYNC_BUFFERS: False}
        return DistributedDataParallel(module, **options)


@contextlib.contextmanager
def without_averaging(module: nn.Module, skip: bool) -> Iterator[None]:
    """Add gradients up in this process alone if `skip`: they are averaged with the last batch's."""
    if skip and isinstance(module, DistributedDataParallel):
        with module.no_sync():
            yield
    else:
        yield


@contextlib.contextmanager
def join_world(device: str) -> Iterator[World]:
    """Join the processes that torchrun started beside this one, if it did.

    Parameters
    ----------
    device
        As for `choose_device`. With several processes ``auto`` and ``cuda`` are the GPU of
        this process's local rank.

    Raises
    ------
    ToolError
        There is no such device, or the other processes cannot be reached or have ended.
    """
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    if ranks == 1 or "MASTER_ADDR" not in os.environ:
        yield World(choose_device(device))
        return
    place = choose_device(device)
    if place.type == "cuda":
        place = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
        torch.cuda.set_device(place)
    # A note on speed, for gradients of convolutions that are a ten-thousandth of the whole.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    backend = "nccl" if place.type == "cuda" else "gloo"
    try:
        torch.distributed.init_process_group(backend, timeout=_PATIENCE)
        control = (
            torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)
            if backend != "gloo"
            else torch.distributed.group.WORLD
        )
    except (RuntimeError, ValueError) as error:
        raise ToolError(
            f"torchrun: {_first_line(error)}; start all processes by torchrun"
        ) from None
    world = World(place, torch.distributed.get_rank(), ranks, control)
    try:
        yield world
    except RuntimeError as error:
        # torch has no type of its own for gloo's errors.
        if isinstance(error, torch.distributed.DistError) or "gloo" in str(error).lower():
            raise ToolError(
                f"rank {world.rank}: another process of this run has ended "
                f"({_first_line(error)[:120]})"
            ) from None
        raise
    # Not after an error: the others may be gone, and the goodbye would wait for them.
    torch.distributed.destroy_process_group()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
