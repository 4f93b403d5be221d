"""The frequency at which a sound's spectrum is cut off, as lossy coders and resamplers do it."""

import numpy as np
import numpy.typing as npt
import scipy

from apollo_data.audio.files import Samples

_FFT = 4096
_FRAMES_PER_BLOCK = 16
_LOWEST_HERTZ, _HIGHEST_HERTZ = 7_000.0, 20_500.0
_BELOW_HERTZ, _ABOVE_HERTZ, _GAP_HERTZ = 2_000.0, 1_500.0, 250.0
_STEP_HERTZ = 100.0
_DROP_DB = 20.0
_SILENT_POWER = 1e-7


class SpectrumEnd:
    """Collects the mean power spectrum of some frames of each block."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._window = scipy.signal.windows.hann(_FFT, sym=False).astype(np.float32)[:, None]
        self._power = np.zeros(_FFT // 2 + 1)
        self._frames = 0

    def add(self, block: Samples) -> None:
        """Take a (samples, channels) block; silent frames and rests of a block do not count."""
        count = min(_FRAMES_PER_BLOCK, len(block) // _FFT)
        for start in np.linspace(0, len(block) - _FFT, count).astype(int).tolist() if count else ():
            frame = block[start : start + _FFT]
            if np.mean(np.square(frame)) > _SILENT_POWER:
                spectrum = scipy.fft.rfft(frame * self._window, axis=0)
                self._power += np.square(np.abs(spectrum)).sum(axis=1)
                self._frames += 1

    def hertz(self) -> float | None:
        """Return where the spectrum is cut off, or None where it fades or reaches the top.

        At a cut, nearly all bins of the 2 kHz below it are 20 dB above nearly all bins of the
        1.5 kHz that follow 250 Hz above it. The highest such place counts.
        """
        if not self._frames:
            return None
        level_db = 10.0 * np.log10(self._power / self._frames + 1e-20)
        edges = np.arange(_LOWEST_HERTZ, _HIGHEST_HERTZ, _STEP_HERTZ)
        drops = np.array([self._drop_db(level_db, float(edge)) for edge in edges])
        cut = np.flatnonzero(drops > _DROP_DB)
        if not len(cut):
            return None
        run = cut[cut > cut[-1] - 10]
        return float(edges[run[np.argmax(drops[run])]])

    def _drop_db(self, level_db: npt.NDArray[np.float64], edge: float) -> float:
        below = self._bins(level_db, edge - _BELOW_HERTZ, edge)
        above = self._bins(level_db, edge + _GAP_HERTZ, edge + _GAP_HERTZ + _ABOVE_HERTZ)
        if len(above) < _ABOVE_HERTZ / 2 / self._rate * _FFT:
            return 0.0
        return float(np.quantile(below, 0.1) - np.quantile(above, 0.9))

    def _bins(
        self, level_db: npt.NDArray[np.float64], low: float, high: float
    ) -> npt.NDArray[np.float64]:
        first, last = (round(hertz / self._rate * _FFT) for hertz in (low, high))
        return level_db[first:last]
