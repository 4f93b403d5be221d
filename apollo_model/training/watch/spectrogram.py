"""Spectrograms of one clip in several versions, one above the other."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import ShortTimeFFT

_WINDOW = 2048
_HOP = 512
_DYNAMIC_DB = 90.0
_SIZE_INCHES, _DPI = (9.0, 7.0), 100


def draw_spectrograms(
    path: Path, versions: Mapping[str, npt.NDArray[np.float32]], sample_rate: int, title: str
) -> None:
    """Write a PNG with a panel for each version, all on the same scale of level.

    Parameters
    ----------
    path
        Whatever its suffix.
    versions
        Mono samples by name, of one length.
    sample_rate
        In Hz.
    title
        Stands above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    levels = {name: _levels_db(samples, sample_rate) for name, samples in versions.items()}
    loudest = max(float(level.max()) for level in levels.values())
    seconds = max(len(samples) for samples in versions.values()) / sample_rate
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(levels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, level) in zip(panels, levels.items(), strict=True):
        image = axes.imshow(
            level,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, sample_rate / 2000),
            vmin=loudest - _DYNAMIC_DB,
            vmax=loudest,
            cmap="magma",
        )
        axes.set_ylabel(f"{name}\nkHz")
    panels[-1].set_xlabel("seconds")
    figure.suptitle(title, fontsize=10)
    figure.colorbar(image, ax=panels, label="dB")
    figure.savefig(path, format="png")


def _levels_db(samples: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float64]:
    """Return the levels, (bins, frames)."""
    window = np.hanning(_WINDOW)
    transform = ShortTimeFFT(window, _HOP, sample_rate, scale_to="magnitude")
    # Without the frames whose centres lie before the first or after the last sample.
    magnitudes = np.abs(transform.stft(samples, p0=0, p1=1 + len(samples) // _HOP))
    return np.asarray(20 * np.log10(np.maximum(magnitudes, 1e-8)))
