"""Seamless chunks: music of any length through the network in bounded memory.

The network sees a finite stretch. A chunk that carries that much more sound on each side,
of which the result is thrown away, therefore gives what the whole file would give at once;
nothing is faded. One long chunk costs less than several short ones in a batch, because its
context is computed once: memory goes into length, and only the channels make a batch.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from apollo_data.audio.files import Samples
from apollo_data.errors import DataError
from apollo_model.network.apollo import BANDS, Apollo
from apollo_model.network.blocks import WIDEST_FEATURES, block_frames

# What a frame takes, measured on a CPU: the features and their convolution (before it, a
# causal one pads a copy), and at the network's ends some complex numbers per bin. A CPU
# computes the wide layers block by block, a GPU all frames at once: estimated from the
# layers, and not yet measured.
_TENSORS_CPU = 2
_TENSORS_GPU = 40
_BLOCK_TENSORS = 26  # what a block takes on a CPU
_COMPLEX_PER_BIN = 7
_MAX_CHUNK_SECONDS = 60.0  # longer saves no work worth saving, and progress would stand still
_WORTHWHILE = 4  # a chunk shorter than so many contexts is better cut from fewer channels


@dataclass(frozen=True)
class Context:
    """Samples beside a chunk that its result depends on."""

    past: int
    future: int

    @classmethod
    def of(cls, network: Apollo) -> "Context":
        """Read it off the network: frames seen by the convolutions, and the STFT's edge frame."""
        edge = network.hop_samples
        reach = network.context_frames * network.hop_samples
        return cls(reach + edge, edge if network.causal else reach + edge)


@dataclass(frozen=True)
class ChunkPlan:
    """How music is cut: samples of a chunk without its context, and channels in one pass."""

    chunk_samples: int
    channels: int


def plan_chunks(network: Apollo, channels: int, max_memory_bytes: int) -> ChunkPlan:
    """Choose the longest chunks that keep the network's work within `max_memory_bytes`.

    The bound holds for what comes on top of the program itself (Python, torch and weights).

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


def block_bytes(network: Apollo) -> int:
    """Return the size of the largest tensor that comes and goes with every block of frames."""
    frame = _features_bytes(network)
    return WIDEST_FEATURES * block_frames(frame) * frame


def _frame_bytes(network: Apollo) -> int:
    on_cpu = next(network.net.parameters()).device.type == "cpu"
    tensors = _TENSORS_CPU + network.causal if on_cpu else _TENSORS_GPU
    return tensors * _features_bytes(network) + 8 * _COMPLEX_PER_BIN * (network.hop_samples + 1)


def _fixed_bytes(network: Apollo) -> int:
    frame = _features_bytes(network)
    return _BLOCK_TENSORS * block_frames(frame) * frame


def _features_bytes(network: Apollo) -> int:
    """Return the size of one frame's features."""
    return BANDS * network.feature_dim * next(network.net.parameters()).element_size()


def restore_blocks(
    network: Apollo, blocks: Iterable[Samples], plan: ChunkPlan, wet: float = 1.0
) -> Iterator[Samples]:
    """Restore sound that comes in blocks of any size, and yield it in chunks as it is done.

    Parameters
    ----------
    network
        In evaluation mode; its ends in float32.
    blocks
        (channels, samples) float32 at the network's rate, from start to end.
    plan
        As `plan_chunks` makes it; its sizes do not change the result.
    wet
        1 gives the restored sound, 0 the input, between them the sum in these parts.

    Yields
    ------
    Samples
        (channels, samples) float32; together as many samples as went in.
    """
    context = Context.of(network)
    needed = plan.chunk_samples + context.future
    past = 0  # samples of the buffer that are done and kept as context
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


def _restore(network: Apollo, sound: Samples, kept: slice, channels: int, wet: float) -> Samples:
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
