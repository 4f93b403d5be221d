"""Blocks of frames: on a CPU the wide layers treat a few frames at a time.

Intermediate results of so many frames, and of so many bytes in the widest layer, stay in the
processor's cache, and the allocator needs no new memory for them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MOST_BLOCK_FRAMES = 40
MOST_BLOCK_BYTES = 10_000_000
# Training gains by larger ones: it adds up the weights' gradients once a block, and small
# networks would spend their time on calling small operations.
MOST_TRAINING_BYTES = 30_000_000
WIDEST_FEATURES = 8  # times N


def block_frames(frame_bytes: int) -> int:
    """Return how many frames of features, each of so many bytes, make a block on a CPU."""
    return max(1, min(MOST_BLOCK_FRAMES, MOST_BLOCK_BYTES // (WIDEST_FEATURES * frame_bytes)))


def training_block_frames(features: Tensor) -> int:
    """Return how many frames of `features`, (frames, ...), make a block in training on a CPU."""
    frame_bytes = features.nbytes // len(features)
    return max(1, MOST_TRAINING_BYTES // (WIDEST_FEATURES * frame_bytes))


def in_blocks(
    function: Callable[..., Tensor], *frames: Tensor, out: Tensor | None = None
) -> Tensor:
    """Apply `function`, which treats each frame by itself, to a few at a time on a CPU.

    Without gradients the results go into `out`, which may be one of `frames`: long sounds
    then need few large tensors at a time.
    """
    first = frames[0]
    training = torch.is_grad_enabled()
    frame_bytes = first.nbytes // len(first)
    count = training_block_frames(first) if training else block_frames(frame_bytes)
    if not on_cpu(first) or len(first) <= count:
        return function(*frames)
    blocks = zip(*(tensor.split(count) for tensor in frames), strict=True)
    if training:
        return torch.cat([function(*block) for block in blocks])
    start = 0
    for block in blocks:
        result = function(*block)
        if out is None:
            out = result.new_empty((len(first), *result.shape[1:]))
        out[start : start + len(result)] = result
        start += len(result)
    assert out is not None
    return out


def on_cpu(tensor: Tensor) -> bool:
    """Return whether `tensor` lies on a CPU."""
    return tensor.device.type == "cpu"
