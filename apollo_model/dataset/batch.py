"""Batches of pairs: allocated at once, collated without a copy, converted where used."""

import torch
from torch import Tensor
from torch.utils.data import default_collate

from apollo_data.shards import INT16_FULL_SCALE

Pair = tuple[Tensor, Tensor]
"""(coded, clean): two clips of (2, samples), or two batches of (batch, 2, samples)."""


class PairBatch(list[Pair]):
    """Pairs that are views into the two tensors of their batch.

    PyTorch's own collate function would copy them; `collate_pairs` does not.
    """

    def __init__(self, coded: Tensor, clean: Tensor) -> None:
        super().__init__(zip(coded, clean, strict=True))
        self.whole: Pair = coded, clean


def collate_pairs(items: list[Pair]) -> Pair:
    """Return (coded, clean), each (batch, 2, samples); a `collate_fn` for DataLoader."""
    return items.whole if isinstance(items, PairBatch) else default_collate(items)


def put(stored: Tensor, out: Tensor) -> None:
    """Write stored samples into `out`; if it is float32, scale them to full scale 1.0.

    Call it for one row at a time, while the row is in the cache. A whole batch is slower.
    """
    out.copy_(stored)
    if stored.dtype == torch.int16 and out.dtype == torch.float32:
        out.div_(INT16_FULL_SCALE)


def to_float(batch: Pair, device: torch.device | str = "cpu") -> Pair:
    """Return a batch on `device` as float32 with full scale 1.0.

    int16 is copied to the device first and converted there, which halves the bytes to copy.
    From pinned memory (``pin_memory=True``) the copy overlaps with computation.
    """
    coded, clean = (side.to(device, non_blocking=True) for side in batch)
    return _scaled(coded), _scaled(clean)


def _scaled(audio: Tensor) -> Tensor:
    return audio.float().div_(INT16_FULL_SCALE) if audio.dtype == torch.int16 else audio
