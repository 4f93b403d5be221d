"""Chunks and streams give what the whole sound gives at once."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import soxr
import torch
from helpers.small_networks import loud_network
from helpers.small_songs import tone

from apollo_data.errors import DataError
from apollo_model.network.apollo import Apollo
from apollo_model.network.precision import prepare_network
from apollo_model.restore.chunks import ChunkPlan, Context, plan_chunks, restore_blocks
from apollo_model.restore.resampling import resample_blocks, samples_at_rate
from apollo_model.restore.streaming import StreamingRestorer

FORMS = list(itertools.product((False, True), repeat=2))  # residual, causal
HOP = 441


def music(samples: int, channels: int = 2) -> np.ndarray:
    sound = tone("chunks", samples / 44100)[:samples].T
    return np.ascontiguousarray(np.repeat(sound, (channels + 1) // 2, 0)[:channels])


def whole(network: Apollo, sound: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(sound)[None])[0].numpy()


def cut(sound: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (sound[:, at : at + size] for at in range(0, sound.shape[1], size))


@pytest.mark.parametrize(("residual", "causal"), FORMS)
@pytest.mark.parametrize(("hops", "channels"), [(17, 2), (40, 1), (71, 2)])
def test_chunks_leave_no_seam(residual: bool, causal: bool, hops: int, channels: int) -> None:
    network, sound = loud_network(residual, causal), music(HOP * 110 + 77)
    expected = whole(network, sound)
    assert expected.std() > 0.02
    plan = ChunkPlan(hops * HOP, channels)
    chunks = list(restore_blocks(network, cut(sound, 10_007), plan))
    assert len(chunks) > 1
    found = np.concatenate(chunks, 1)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


def test_less_context_would_leave_a_seam() -> None:
    network, sound = loud_network(), music(HOP * 150)
    expected = whole(network, sound)
    context = Context.of(network).past
    begin = 60 * HOP
    for less, seamless in ((0, True), (context - 4 * HOP, False)):
        stretch = sound[:, begin - context + less :]
        found = whole(network, np.ascontiguousarray(stretch))[:, context - less :]
        assert bool(np.abs(found - expected[:, begin:]).max() < 1e-5) is seamless


@pytest.mark.parametrize("samples", [1, 440, 441, 883, 441 * 60, 441 * 60 + 1])
def test_any_length_comes_out_as_it_went_in(samples: int) -> None:
    network, sound = loud_network(True), music(samples, 3)
    found = np.concatenate(list(restore_blocks(network, [sound], ChunkPlan(20 * HOP, 2))), 1)
    assert np.abs(found - whole(network, sound)).max() < 1e-5


def test_dry_and_wet_are_in_time() -> None:
    network, sound = loud_network(), music(HOP * 90)
    plan = ChunkPlan(30 * HOP, 2)
    dry, half = (
        np.concatenate(list(restore_blocks(network, cut(sound, 999), plan, wet)), 1)
        for wet in (0.0, 0.5)
    )
    assert np.array_equal(dry, sound)
    assert np.abs(half - 0.5 * (sound + whole(network, sound))).max() < 1e-5


def test_memory_goes_into_length_and_then_into_channels() -> None:
    network = loud_network()
    small, large = (plan_chunks(network, 2, size) for size in (60 * 10**6, 200 * 10**6))
    assert small.channels == large.channels == 2
    assert small.chunk_samples < large.chunk_samples <= 60 * 44100
    assert large.chunk_samples % HOP == 0
    assert 1 <= plan_chunks(network, 64, 60 * 10**6).channels < 64
    with pytest.raises(DataError, match=r"--max-memory 1MB is too little .* needs \d+MB"):
        plan_chunks(network, 1, 10**6)


def test_bfloat16_is_close_and_leaves_the_ends_exact() -> None:
    sound = music(HOP * 60)
    expected = whole(loud_network(True), sound)
    network = prepare_network(loud_network(True), torch.device("cpu"), torch.bfloat16)
    assert {value.dtype for value in network.net.parameters()} == {torch.bfloat16}
    assert {value.dtype for value in network.output.parameters()} == {torch.float32}
    error = whole(network, sound) - expected
    assert 0 < error.std() < 0.05 * expected.std()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("size", [1, 100, 441, 1000, 44100])
def test_streams_equal_the_whole(residual: bool, size: int) -> None:
    network = loud_network(residual, causal=True)
    sound = music(2000 if size == 1 else 48_123)
    restorer = StreamingRestorer(network, 2)
    for _ in range(2):  # after flush() a new stream begins
        parts, taken, given = [], 0, 0
        for block in cut(sound, size):
            parts.append(restorer.push(block))
            taken, given = taken + block.shape[1], given + parts[-1].shape[1]
            assert taken - given < restorer.latency_samples + HOP
        parts.append(restorer.flush())
        found = np.concatenate(parts, 1)
        assert found.shape == sound.shape
        assert np.abs(found - whole(network, sound)).max() < 1e-5


def test_a_stream_of_few_samples_or_none() -> None:
    network = loud_network(True, causal=True)
    restorer = StreamingRestorer(network, 2)
    assert restorer.flush().shape == (2, 0)
    for samples in (1, 441, 882, 883, 1323):
        sound = music(samples)
        found = np.concatenate([restorer.push(sound), restorer.flush()], 1)
        assert np.abs(found - whole(network, sound)).max() < 1e-5


def test_a_stream_needs_a_causal_network() -> None:
    with pytest.raises(DataError, match="not causal"):
        StreamingRestorer(loud_network(), 2)


@pytest.mark.parametrize("rate", [8000, 22050, 48000, 192_000])
def test_resampled_blocks_are_exact_in_length_and_in_time(rate: int) -> None:
    sound = tone("rate", 1.3, rate).T
    samples = samples_at_rate(sound.shape[1], rate, 44100)
    there = resample_blocks(cut(sound, 5003), 2, rate, 44100, samples)
    found = np.concatenate(list(there), 1)
    assert found.shape == (2, samples)
    at_once = soxr.resample(sound.T, rate, 44100, quality="VHQ").T[:, :samples]
    assert np.abs(found[:, : at_once.shape[1]] - at_once).max() < 1e-6
