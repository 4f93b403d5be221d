"""Change the sample rate block by block, with exactly as many samples as the ratio gives."""

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from apollo_data.audio.files import Samples


def samples_at_rate(samples: int, rate_in: int, rate_out: int) -> int:
    """Return how many samples at `rate_out` last as long as `samples` at `rate_in`.

    Examples
    --------
    >>> samples_at_rate(48000, 48000, 44100), samples_at_rate(1, 48000, 8000)
    (44100, 1)
    """
    return max(1, (2 * samples * rate_out + rate_in) // (2 * rate_in))


def resample_blocks(
    blocks: Iterable[Samples], channels: int, rate_in: int, rate_out: int, samples: int
) -> Iterator[Samples]:
    """Convert blocks of (channels, n) float32 without a delay.

    Parameters
    ----------
    samples
        Exact length of the result; the resampler's own differs by one or two.
    """
    if rate_in == rate_out:
        yield from _exactly(blocks, channels, samples)
        return
    yield from _exactly(_converted(blocks, channels, rate_in, rate_out), channels, samples)


def _converted(
    blocks: Iterable[Samples], channels: int, rate_in: int, rate_out: int
) -> Iterator[Samples]:
    stream = soxr.ResampleStream(rate_in, rate_out, channels, dtype="float32", quality="VHQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


def _exactly(blocks: Iterable[Samples], channels: int, samples: int) -> Iterator[Samples]:
    left = samples
    for block in blocks:
        if part := min(left, block.shape[1]):
            left -= part
            yield block[:, :part]
    if left:
        yield np.zeros((channels, left), np.float32)
