"""Seamless chunks: music of any length through the network in limited memory.

Each sample of the result depends on a limited stretch of input, the context. A chunk is
therefore computed with that much more sound on each side, and the result of the extra sound is
dropped. What is left equals the result for the whole file; no cross-fade is needed. One long
chunk costs less than a batch of short ones, because its context is computed only once. So
memory is used for length, and only the channels form a batch.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from apollo_data.audio.files import Samples
from apollo_data.errors import DataError
from apollo_model.network.apollo import BANDS
from apollo_model.network.base import Network
from apollo_model.network.frame_blocks import WIDEST_FEATURES, block_frames
from apollo_model.network.srgan import BINS, SrGan

# Memory of a frame, measured on a CPU: the features, the result of a convolution (a causal one
# also makes a padded copy), and some complex numbers per bin at the network's ends. A CPU
# computes the wide layers block by block. A GPU computes all frames at once; its number is
# estimated from the layers and not yet measured.
_TENSORS_CPU = 2
_TENSORS_GPU = 40
_TENSORS_SRGAN = 8
_BLOCK_TENSORS = 26  # memory of a block on a CPU
_COMPLEX_PER_BIN = 7
_MAX_CHUNK_SECONDS = 60.0  # longer chunks save little work, and progress would stop for long
_WORTHWHILE = 4  # below so many contexts, take fewer channels instead of shorter chunks


@dataclass(frozen=True)
class Context:
    """Samples before and after a chunk that its result depends on."""

    past: int
    future: int

    @classmethod
    def of(cls, network: Network) -> "Context":
        """Return the context of a network: the reach of its convolutions, and one STFT window.

        Chunks begin and end on whole hops, so that a hop less than a window is enough.
        """
        edge = network.window_samples - network.hop_samples
        reach = network.context_frames * network.hop_samples
        return cls(reach + edge, edge if network.causal else reach + edge)


@dataclass(frozen=True)
class ChunkPlan:
    """How music is cut: samples of a chunk without its context, and channels at a time."""

    chunk_samples: int
    channels: int


def plan_chunks(network: Network, channels: int, max_memory_bytes: int) -> ChunkPlan:
    """Choose the longest chunks that keep the network's work within `max_memory_bytes`.

    The limit does not include the program itself (Python, torch and the weights).

    Raises
    ------
    DataError
        Not even a short chunk of one channel fits.
    """
    context = Context.of(network)
    around = (context.past + context.future) // network.hop_samples + 1
    frames = (max_memory_bytes - _fixed_bytes(network)) // _frame_bytes(network)
    at_once = channels
    while at_once > 1 and frames // at_once < (1 + _WORTHWHILE) * around:
        at_once = math.ceil(at_once / 2)
    longest = round(_MAX_CHUNK_SECONDS * network.sample_rate) // network.hop_samples
    hops = min(frames // at_once - around, longest)
    if hops < around // 2:
        needed = (around + around // 2) * _frame_bytes(network) + _fixed_bytes(network)
        raise DataError(
            f"--max-memory {max_memory_bytes / 1e6:.0f}MB is too little for this network, which"
            f" needs {math.ceil(needed / 1e6):.0f}MB"
        )
    return ChunkPlan(hops * network.hop_samples, at_once)


def block_bytes(network: Network) -> int:
    """Return the size in bytes of the largest tensor that each block of frames allocates."""
    if isinstance(network, SrGan):
        return 0  # it computes all frames at once
    frame = _features_bytes(network)
    return WIDEST_FEATURES * block_frames(frame) * frame


def _frame_bytes(network: Network) -> int:
    if isinstance(network, SrGan):
        planes = BINS * network.planes + network.rows * network.feature_dim
        return _TENSORS_SRGAN * planes * next(network.parameters()).element_size()
    on_cpu = next(network.core.parameters()).device.type == "cpu"
    tensors = _TENSORS_CPU + network.causal if on_cpu else _TENSORS_GPU
    return tensors * _features_bytes(network) + 8 * _COMPLEX_PER_BIN * (network.hop_samples + 1)


def _fixed_bytes(network: Network) -> int:
    if isinstance(network, SrGan):
        return 0
    frame = _features_bytes(network)
    return _BLOCK_TENSORS * block_frames(frame) * frame


def _features_bytes(network: Network) -> int:
    """Return the size of one frame's features."""
    return BANDS * network.feature_dim * next(network.core.parameters()).element_size()


def restore_blocks(
    network: Network, blocks: Iterable[Samples], plan: ChunkPlan, wet: float = 1.0
) -> Iterator[Samples]:
    """Restore sound that comes in blocks of any size, and yield the result chunk by chunk.

    Parameters
    ----------
    network
        In evaluation mode; its ends in float32.
    blocks
        (channels, samples) float32 at the network's rate, from start to end.
    plan
        From `plan_chunks`; its sizes do not change the result.
    wet
        1 gives the restored sound, 0 the input, values between a mix of both.

    Yields
    ------
    Samples
        (channels, samples) float32; together as many samples as went in.
    """
    context = Context.of(network)
    needed = plan.chunk_samples + context.future
    past = 0  # samples of the buffer that are done and are kept as context
    waiting: list[Samples] = []
    count = 0
    for block in blocks:
        waiting.append(block)
        count += block.shape[1]
        while count >= past + needed + 1:  # one more, so that the end is never an empty chunk
            sound = np.concatenate(waiting, 1)
            end = past + plan.chunk_samples
            stretch = sound[:, : end + context.future]
            yield _restore(network, stretch, slice(past, end), plan.channels, wet)
            past = min(end, context.past)
            waiting = [sound[:, end - past :].copy()]
            count = waiting[0].shape[1]
    if count > past:
        sound = np.concatenate(waiting, 1)
        yield _restore(network, sound, slice(past, None), plan.channels, wet)


def _restore(network: Network, sound: Samples, kept: slice, channels: int, wet: float) -> Samples:
    if wet == 0:
        return sound[:, kept].copy()
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for part in torch.from_numpy(sound).split(channels):
            restored = network(part.unsqueeze(1).to(device))[:, 0, kept]
            parts.append(restored.float().cpu().numpy())
    restored = np.concatenate(parts)
    return restored if wet == 1 else wet * restored + np.float32(1 - wet) * sound[:, kept]
