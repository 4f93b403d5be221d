"""Pictures of what a detector found: one PNG a song, one row a stem."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_data.activity.levels import frame_blocks
from apollo_data.audio.files import probe, samples_at
from apollo_data.records import ActiveSpan
from apollo_data.storage import whole_file

_COLUMNS = 1100
_FLOOR_DB = -60.0
_WIDTH_INCHES, _ROW_INCHES, _MARGIN_INCHES, _DPI = 11.0, 0.55, 1.0, 100
_ACTIVE, _RESTING, _SPAN, _TRUE = "#1b6ca8", "#9aa3ab", "#cfe5f5", "#d1495b"


@dataclass(frozen=True)
class StemTimeline:
    """One row of a picture: the stem, its files, what was found and, if known, what is true."""

    stem_class: str
    files: tuple[Path, ...]
    seconds: float
    spans: tuple[ActiveSpan, ...]
    detector: str
    true_spans: tuple[ActiveSpan, ...] | None = None


@dataclass(frozen=True)
class SongTimeline:
    """One picture: where it goes, its title and its rows."""

    path: Path
    title: str
    stems: tuple[StemTimeline, ...]


def draw_timeline(song: SongTimeline) -> Path:
    """Draw a song's stems and return the picture's path.

    Active spans are shaded, and the envelope is coloured in them and grey elsewhere. It is
    the peak level, from 60 dB below the stem's loudest sample up, so that what is quiet can
    be seen. The truth, where it is known, is a thin line at the foot of each row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height = _MARGIN_INCHES + _ROW_INCHES * len(song.stems)
    figure = Figure(figsize=(_WIDTH_INCHES, height), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(song.stems), 1, sharex=True, squeeze=False)[:, 0]
    for row, stem in zip(axes, song.stems, strict=True):
        _draw_stem(row, stem)
    axes[-1].set_xlim(0.0, max(stem.seconds for stem in song.stems))
    axes[-1].set_xlabel("seconds    (height: peak level, from 60 dB under the loudest)", fontsize=9)
    axes[-1].tick_params(axis="x", length=3)
    figure.suptitle(
        song.title, x=0.13, y=1.0 - 0.12 / height, ha="left", va="top", parse_math=False
    )
    _legend(figure, song, 1.0 - 0.12 / height)
    figure.subplots_adjust(
        left=0.13, right=0.99, top=1.0 - 0.45 / height, bottom=0.5 / height, hspace=0.12
    )
    with warnings.catch_warnings(), whole_file(song.path) as temporary:
        warnings.filterwarnings("ignore", "Glyph")  # a title in letters that the font lacks
        canvas.print_figure(str(temporary), format="png")
    return song.path


def _draw_stem(row: Any, stem: StemTimeline) -> None:
    times, heights = _envelope(stem)
    active = _inside(times, stem.spans)
    for span in stem.spans:
        row.axvspan(span.start_seconds, span.end_seconds, color=_SPAN, linewidth=0)
    row.fill_between(times, heights, step="mid", color=_RESTING, linewidth=0)
    row.fill_between(times, heights, where=active, step="mid", color=_ACTIVE, linewidth=0)
    for span in stem.true_spans or ():
        row.plot([span.start_seconds, span.end_seconds], [-0.1, -0.1], color=_TRUE, linewidth=2.0)
    row.set_ylim(-0.2, 1.05)
    row.set_yticks([])
    row.tick_params(axis="x", length=0)
    row.spines[["top", "right", "left"]].set_visible(False)
    row.spines["bottom"].set_color("#d5d9dd")
    share = sum(span.end_seconds - span.start_seconds for span in stem.spans) / stem.seconds
    row.set_ylabel(
        f"{stem.stem_class}\n{share:.0%}", rotation=0, ha="right", va="center", fontsize=9
    )


def _envelope(stem: StemTimeline) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """Return times and peak levels, 0 at 60 dB below the loudest sample and 1 at it."""
    info = [probe(file) for file in stem.files]
    rate = info[0].sample_rate
    length = min(samples_at(each, rate) for each in info)
    column = max(1, math.ceil(length / _COLUMNS))
    peaks = [np.zeros(0)]
    for block in frame_blocks(stem.files, rate, column):
        whole = block[:, : block.shape[1] // column * column]
        peaks.append(np.abs(whole).max(axis=0).reshape(-1, column).max(axis=1))
    peak = np.concatenate(peaks)
    loudest = max(float(peak.max(initial=0.0)), 1e-9)
    heights = 1.0 - 20.0 * np.log10(np.maximum(peak / loudest, 1e-9)) / _FLOOR_DB
    return (np.arange(len(peak)) + 0.5) * column / rate, np.maximum(heights, 0.0)


def _inside(times: npt.NDArray[np.floating], spans: Sequence[ActiveSpan]) -> npt.NDArray[np.bool_]:
    edges = [time for span in spans for time in (span.start_seconds, span.end_seconds)]
    return np.searchsorted(edges, times, side="right") % 2 == 1


def _legend(figure: Any, song: SongTimeline, top: float) -> None:
    from matplotlib.patches import Patch

    detectors = ", ".join(dict.fromkeys(stem.detector for stem in song.stems))
    patches = [
        Patch(color=_ACTIVE, label=f"active ({detectors})"),
        Patch(color=_RESTING, label="not active"),
    ]
    if any(stem.true_spans is not None for stem in song.stems):
        patches.append(Patch(color=_TRUE, label="truth"))
    figure.legend(
        handles=patches,
        loc="upper right",
        bbox_to_anchor=(0.99, top),
        borderaxespad=0.0,
        ncols=len(patches),
        frameon=False,
        fontsize=9,
    )
