"""Memory for batches that is used again: new memory takes longer to come by than to fill."""

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

_KEPT = 4  # both sides of two batches: the one that the caller still has and the next


class Buffers:
    """Gives out tensors, and their memory again once the last view of it is gone.

    In a worker process of a DataLoader tensors lie in memory shared with the parent instead;
    from other memory they would be copied there on their way.
    """

    def __init__(self) -> None:
        self._free: list[npt.NDArray[np.uint8]] = []

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return a tensor to write into."""
        size = torch.Size(shape).numel() * dtype.itemsize
        if get_worker_info() is not None:
            storage = torch.UntypedStorage._new_shared(size)  # as default_collate does
            flat = torch.empty(0, dtype=torch.uint8).set_(storage)
            return flat.view(dtype).view(shape)
        return torch.from_numpy(self._take(size)).view(dtype).view(shape)

    def _take(self, size: int) -> npt.NDArray[np.uint8]:
        """Return `size` bytes: a view of free memory, whose end gives the memory back."""
        place = next((n for n, own in enumerate(self._free) if own.nbytes >= size), None)
        memory = np.empty(size, np.uint8) if place is None else self._free.pop(place)
        view = memory[:size]
        weakref.finalize(view, self._give_back, memory).atexit = False
        return view

    def _give_back(self, memory: npt.NDArray[np.uint8]) -> None:
        if len(self._free) >= _KEPT:
            self._free.pop(0)
        self._free.append(memory)

    def __getstate__(self) -> dict[str, Any]:
        return {"_free": []}
