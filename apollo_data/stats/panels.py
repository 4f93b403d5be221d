"""The panels of the statistics sheet: each draws one aspect of all splits into its axes."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from apollo_data.records import CATEGORIES, PAIRED, STEM_CLASSES
from apollo_data.stats.codings import CodingGroup
from apollo_data.stats.gather import SplitStatistics
from apollo_data.stats.tables import LEVEL_TITLES, groups_of, levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"train": "#3a6ea5", "valid": "#e0a458", "test": "#b0413e"}
_INK, _GREY = "#222222", "#b5b5b5"
_MIN_BINS, _MAX_BINS = 14, 40

Splits = dict[str, SplitStatistics]
Panel = Callable[["Axes", Splits], None]


def stems_per_mix(axes: "Axes", splits: Splits) -> None:
    """Draw which share of the mixes has how many stems."""
    counts = {name: split.recipes.stems_per_mix for name, split in splits.items()}
    most = max((max(own, default=1) for own in counts.values()), default=1)
    names = range(1, most + 1)
    _bars(axes, [str(name) for name in names], _percent(counts, names))
    axes.set_title("stems per mix (% of mixes)")


def categories(axes: "Axes", splits: Splits) -> None:
    """Draw which share of the targets is of which category."""
    counts = {name: split.recipes.categories for name, split in splits.items()}
    names = (*CATEGORIES, *((PAIRED,) if any(own[PAIRED] for own in counts.values()) else ()))
    _bars(axes, names, _percent(counts, names), lying=True)
    axes.set_title("categories (% of targets)")


def stem_classes(axes: "Axes", splits: Splits) -> None:
    """Draw which share of the stems is of which class."""
    counts = {name: split.recipes.stem_classes for name, split in splits.items()}
    _bars(axes, STEM_CLASSES, _percent(counts, STEM_CLASSES), lying=True)
    axes.set_title("stem classes (% of stems)")


def songs(axes: "Axes", splits: Splits) -> None:
    """Draw how often each song is used."""
    for name, split in splits.items():
        uses = sorted(split.recipes.songs.values(), reverse=True)
        axes.plot(range(1, len(uses) + 1), uses, ".-", color=COLOURS[name], lw=1.4, ms=5)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    axes.grid(axis="y")
    axes.set_title("uses of each song, the most used first")


def bitrates(axes: "Axes", splits: Splits) -> None:
    """Draw which share of the pairs was asked for at which bitrate."""
    found = groups_of(splits)
    counts = {split: dict(enumerate(group.pairs[split] for group in found)) for split in splits}
    _bars(axes, _group_names(found), _percent(counts, range(len(found))))
    axes.set_title("kbit/s asked (% of pairs)")


def true_bitrates(axes: "Axes", splits: Splits) -> None:
    """Draw the mean and the range of the true bitrates beside those asked for."""
    found = groups_of(splits)
    for place, group in enumerate(found):
        axes.plot(place, group.requested_kbps, "_", color=COLOURS["test"], ms=22, mew=2)
        if true := group.actual_kbps.summary():
            axes.plot([place, place], [true.min, true.max], color=_GREY, lw=5)
            axes.plot(place, true.mean, "o", color=_INK, ms=5)
    _group_ticks(axes, found)
    axes.set_title("kbit/s, true (dot, range) and asked (line)")


def spectral_edges(axes: "Axes", splits: Splits) -> None:
    """Draw the median spectral edge of each bitrate, and where 90 % of the pairs lie."""
    found = groups_of(splits)
    for place, group in enumerate(found):
        if edge := group.edge_hz.summary():
            middle = edge.median / 1000.0
            axes.plot([place, place], [edge.p05 / 1000.0, edge.p95 / 1000.0], color=_GREY, lw=5)
            axes.plot(place, middle, "o", color=_INK, ms=5)
            axes.text(place, middle + 1.0, f"{middle:.1f}", ha="center", fontsize=8)
    _group_ticks(axes, found)
    axes.set_ylim(0, 24)
    axes.set_title("spectral edge (kHz) by kbit/s asked")


def _level(quantity: str) -> Panel:
    def panel(axes: "Axes", splits: Splits) -> None:
        found = {name: levels(split)[quantity].values for name, split in splits.items()}
        found = {name: values for name, values in found.items() if len(values)}
        if found:
            bins = _bins(list(found.values()))
            for name, values in found.items():
                weights = np.full(len(values), 100.0 / len(values))
                inside = np.clip(values, bins[0], bins[-1])
                for style in ({"histtype": "stepfilled", "alpha": 0.15}, {"histtype": "step"}):
                    axes.hist(inside, bins, weights=weights, color=COLOURS[name], lw=1.5, **style)
        axes.grid(axis="y")
        axes.set_title(f"{LEVEL_TITLES[quantity]}, %")

    return panel


gains = _level("gain_db")
scales = _level("scale")
clean_peaks = _level("clean_peak_dbfs")
coded_peaks = _level("coded_peak_dbfs")
loudness = _level("clean_lufs")


def _bins(found: Sequence[npt.NDArray[np.float64]]) -> list[float]:
    """Return the edges of the bins: few for few values, and none for the rarest hundredth."""
    low, high = np.quantile(np.concatenate(found), (0.005, 0.995))
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    count = np.clip(round(2 * min(len(values) for values in found) ** 0.5), _MIN_BINS, _MAX_BINS)
    return np.linspace(low, high, count + 1).tolist()


def _percent(
    counts: Mapping[str, Mapping[Any, int]], names: Sequence[Any]
) -> dict[str, list[float]]:
    """Return the share, in percent, that each name has in each split."""
    return {
        split: [100.0 * own.get(name, 0) / max(1, sum(own.values())) for name in names]
        for split, own in counts.items()
    }


def _bars(
    axes: "Axes", labels: Sequence[str], heights: dict[str, list[float]], lying: bool = False
) -> None:
    """Draw a group of bars for each label, one bar a split."""
    width = 0.8 / max(1, len(heights))
    draw = axes.barh if lying else axes.bar
    for number, (split, values) in enumerate(heights.items()):
        places = np.arange(len(labels)) + (number - (len(heights) - 1) / 2) * width
        draw(places, values, width * 0.92, color=COLOURS[split])
    names = [label.replace("_", " ") for label in labels]
    if lying:
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
    else:
        axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="y" if lying else "x", length=0)
    axes.grid(axis="x" if lying else "y")


def _group_ticks(axes: "Axes", found: Sequence[CodingGroup]) -> None:
    axes.set_xticks(range(len(found)), _group_names(found))
    axes.set_xlim(-0.6, len(found) - 0.4)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")


def _group_names(found: Sequence[CodingGroup]) -> list[str]:
    """Name codings by their bitrate, and by their codec too where there are several."""
    several = len({group.codec for group in found}) > 1
    names = [group.asked.replace("..", "..\n") for group in found]
    if not several:
        return names
    return [f"{group.codec}\n{name}" for group, name in zip(found, names, strict=True)]
