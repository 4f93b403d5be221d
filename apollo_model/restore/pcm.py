"""Raw PCM in pipes: bytes to samples and back, and a check for real time."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_data.audio.files import Samples

_FULL_SCALE = 32768.0  # as ffmpeg and libsndfile read 16-bit samples
PCM_FORMATS: dict[str, np.dtype[Any]] = {"f32le": np.dtype("<f4"), "s16le": np.dtype("<i2")}


class PcmReader:
    r"""Turns bytes in pieces of any size into (channels, n) float32; incomplete frames wait.

    Examples
    --------
    >>> reader = PcmReader("s16le", 1)
    >>> reader.read(b"\x00"), reader.read(b"\x40\x00"), reader.left_bytes
    (array([], shape=(1, 0), dtype=float32), array([[0.5]], dtype=float32), 1)
    """

    def __init__(self, form: str, channels: int) -> None:
        self._dtype = PCM_FORMATS[form]
        self._channels = channels
        self._left = b""
        self.replaced_samples = 0  # NaN or infinite ones, now 0

    @property
    def left_bytes(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._left)

    def read(self, data: bytes) -> Samples:
        """Return the frames that are complete."""
        data = self._left + data
        whole = len(data) - len(data) % (self._dtype.itemsize * self._channels)
        self._left = data[whole:]
        samples = np.frombuffer(data[:whole], self._dtype).reshape(-1, self._channels).T
        if self._dtype.kind == "i":
            return samples.astype(np.float32) / np.float32(_FULL_SCALE)
        finite = np.isfinite(samples)
        self.replaced_samples += int(finite.size - finite.sum())
        return np.where(finite, samples, 0).astype(np.float32)


class PcmWriter:
    """Turns (channels, n) float32 into bytes; counts the samples that 16 bits had to clip."""

    def __init__(self, form: str) -> None:
        self._dtype = PCM_FORMATS[form]
        self.clipped_samples = 0

    def write(self, samples: Samples) -> bytes:
        """Return the samples' bytes, channels interleaved."""
        if self._dtype.kind == "f":
            return samples.T.astype(self._dtype).tobytes()
        scaled: npt.NDArray[np.float32] = np.round(samples.T * np.float32(_FULL_SCALE))
        fitting = scaled.clip(-_FULL_SCALE, _FULL_SCALE - 1)
        # A sample that rounds up to exactly full scale does not count as clipped.
        self.clipped_samples += int((np.abs(scaled) > _FULL_SCALE).sum())
        return fitting.astype(self._dtype).tobytes()


class RealTimeWatch:
    """Notices when work takes longer than the sound lasts.

    Parameters
    ----------
    rate
        Samples per second.
    clock
        Seconds; another one in tests.
    """

    _WINDOW_SECONDS = 5.0

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._began = 0.0
        self._busy_seconds = 0.0
        self._samples = 0

    def begin(self) -> None:
        """Start the clock for a piece of work."""
        self._began = self._clock()

    def end(self, samples: int) -> float | None:
        """Stop the clock; after every 5 s of sound return work seconds per second, if above 1."""
        self._busy_seconds += self._clock() - self._began
        self._samples += samples
        if self._samples < self._WINDOW_SECONDS * self._rate:
            return None
        factor = self._busy_seconds * self._rate / self._samples
        self._busy_seconds, self._samples = 0.0, 0
        return factor if factor > 1 else None
