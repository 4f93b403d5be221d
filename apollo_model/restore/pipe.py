"""Restore a pipe: PCM bytes in, restored PCM bytes out, as soon as they are ready."""

import contextlib
import os

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_model.network.base import Network
from apollo_model.restore.pcm import PcmReader, PcmWriter, RealTimeWatch
from apollo_model.restore.streaming import StreamingRestorer

_READ_BYTES = 1 << 16


def restore_pipe(
    network: Network, source: int, sink: int, channels: int, form: str, console: Console
) -> int:
    """Restore PCM from one file descriptor to another until its end; return the samples written.

    It also ends, without an error, when the reader of `sink` has closed it.

    Parameters
    ----------
    network
        A causal network.
    source, sink
        File descriptors; 0 and 1 are standard input and output.
    form
        Sample format of both: f32le or s16le, at the network's rate.

    Raises
    ------
    DataError
        The network is not causal, `source` cannot be read or `sink` cannot be written.
    """
    restorer = StreamingRestorer(network, channels)
    reader, writer = PcmReader(form, channels), PcmWriter(form)
    watch = RealTimeWatch(network.sample_rate)
    written = 0
    with contextlib.suppress(BrokenPipeError):  # the reader has closed it
        while data := _read(source):
            samples = reader.read(data)
            watch.begin()
            restored = restorer.push(samples)
            if factor := watch.end(samples.shape[1]):
                console.warn(f"slower than real time: 1 s of sound takes {factor:.1f} s")
            _write_all(sink, writer.write(restored))
            written += restored.shape[1]
        rest = restorer.flush()
        _write_all(sink, writer.write(rest))
        written += rest.shape[1]
    _tell(reader, writer, console)
    return written


def _read(source: int) -> bytes:
    try:
        return os.read(source, _READ_BYTES)
    except OSError as error:
        raise DataError(f"the input cannot be read ({error.strerror})") from None


def _write_all(sink: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(sink, rest) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"the output cannot be written ({error.strerror})") from None


def _tell(reader: PcmReader, writer: PcmWriter, console: Console) -> None:
    if reader.left_bytes:
        console.warn(f"the last {reader.left_bytes} bytes are not a whole frame and were left out")
    if reader.replaced_samples:
        console.warn(f"{reader.replaced_samples} NaN or infinite samples were replaced by silence")
    if writer.clipped_samples:
        console.warn(f"{writer.clipped_samples} samples were clipped; use --format f32le")
