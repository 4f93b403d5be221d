"""What can be heard of a sound: all but a constant offset and movement below 20 Hz."""

import numpy as np
import scipy

from apollo_data.audio.files import Samples

CUTOFF_HERTZ = 20.0


class Highpass:
    """A second-order Butterworth high-pass at 20 Hz over consecutive blocks.

    It starts as if the first sample had been there for ever, so that an offset gives no click at
    the start.
    """

    def __init__(self, rate: int) -> None:
        self._sections = scipy.signal.butter(2, CUTOFF_HERTZ, "highpass", fs=rate, output="sos")
        self._state: np.ndarray | None = None

    def __call__(self, block: Samples) -> Samples:
        """Filter a (channels, samples) block that follows the last one; returns float32."""
        if not block.shape[1]:
            return block
        if self._state is None:
            at_rest = scipy.signal.sosfilt_zi(self._sections)
            self._state = at_rest[:, None, :] * block[None, :, :1].astype(np.float64)
        heard, self._state = scipy.signal.sosfilt(self._sections, block, axis=1, zi=self._state)
        return heard.astype(np.float32)


def audible_peak(audio: Samples, rate: int) -> float:
    """Return the peak of the audible part of (channels, samples); 0 for a constant."""
    return float(np.abs(Highpass(rate)(audio)).max(initial=0.0))
