"""The statistics sheet: one PNG with all panels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from apollo_data.stats import panels
from apollo_data.stats.gather import Statistics
from apollo_data.storage import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_COLUMNS = 4
_GREY = "#8a8a8a"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.edgecolor": _GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.axisbelow": True,
    "xtick.color": _GREY,
    "xtick.labelcolor": "black",
    "ytick.color": _GREY,
    "ytick.labelcolor": "black",
    "grid.color": "#e8e8e8",
}


def draw_sheet(statistics: Statistics, path: Path) -> None:
    """Write the sheet as a PNG; panels that need shards are left out without them."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    chosen = _panels(statistics)
    rows = -(-len(chosen) // _MAX_COLUMNS)
    columns = -(-len(chosen) // rows)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(4.0 * columns, 3.1 * rows + 0.7), layout="constrained")
        FigureCanvasAgg(figure)
        places = figure.subplots(rows, columns, squeeze=False).ravel()
        for place in places[len(chosen) :]:
            place.remove()
        for place, panel in zip(places, chosen, strict=False):
            panel(place, statistics.splits)
        _label(figure, statistics)
        with whole_file(path) as temporary:
            figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})


def _panels(statistics: Statistics) -> list[panels.Panel]:
    chosen: list[panels.Panel] = [
        panels.stems_per_mix,
        panels.categories,
        panels.stem_classes,
        panels.songs,
    ]
    chosen += [panels.gains, panels.bitrates]
    if statistics.has_shards:
        chosen += [panels.true_bitrates, panels.spectral_edges, panels.clean_peaks]
        chosen += [panels.coded_peaks, panels.loudness, panels.scales]
    return chosen


def _label(figure: "Figure", statistics: Statistics) -> None:
    """Write the headline and the splits' colours above the panels."""
    from matplotlib.patches import Patch

    own = [split.recipes for split in statistics.splits.values()]
    targets, pairs = sum(item.targets for item in own), sum(item.pairs for item in own)
    hours = sum(item.pair_seconds for item in own) / 3600.0
    songs = len({song for item in own for song in item.songs})
    name = statistics.path.resolve().name
    text = f"{name}: {targets:,} targets, {pairs:,} pairs, {hours:.2f} h of pairs, {songs} songs"
    figure.suptitle(text, x=0.012, ha="left", fontsize=13, fontweight="bold")
    handles = [Patch(color=panels.COLOURS[name], label=name) for name in statistics.splits]
    figure.legend(handles=handles, loc="upper right", ncols=len(handles), frameon=False)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.12, h_pad=0.12)  # type: ignore[call-arg]
