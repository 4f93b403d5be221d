"""Memory for batches that is reused: allocating new memory takes longer than filling it."""

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

_KEPT = 4  # both sides of two batches: the one in use and the next


class Buffers:
    """Allocates tensors, and reuses their memory once no view of it is left.

    In a worker process of a DataLoader the tensors are allocated in memory shared with the
    parent instead. DataLoader would copy them from any other memory.
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
        """Return a view of `size` free bytes; deleting the view frees them again."""
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
