"""Statistics as tables for people and as plain JSON values for programs."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apollo_data.records import CATEGORIES, PAIRED, STEM_CLASSES
from apollo_data.stats.codings import Coded, CodingGroup, coding_groups
from apollo_data.stats.distribution import Distribution, Summary
from apollo_data.stats.gather import SplitStatistics, Statistics
from apollo_data.stats.recipes import RecipeCounts


@dataclass(frozen=True)
class Table:
    """One table: a title, the columns' names and the rows' cells."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[str]]


def tables(statistics: Statistics) -> Iterator[Table]:
    """Yield all tables: sizes, draws and, where there are shards, bitrates and levels."""
    splits = statistics.splits
    yield _sizes(splits)
    yield _shares(
        "category (share of targets)", splits, lambda own: own.categories, _categories(splits)
    )
    most = max((max(_stems(split.recipes), default=0) for split in splits.values()), default=0)
    if counts := range(1, most + 1):
        yield _shares("stems per mix (share of mixes)", splits, _stems, counts)
        title = "stem class (share of stems)"
        yield _shares(title, splits, lambda own: own.stem_classes, STEM_CLASSES)
    yield _bitrates(splits)
    yield _levels(splits)


def _categories(splits: dict[str, SplitStatistics]) -> tuple[str, ...]:
    """Return the paper's categories and, where there are such targets, that of own pairs."""
    has_pairs = any(split.recipes.own_pairs for split in splits.values())
    return (*CATEGORIES, PAIRED) if has_pairs else CATEGORIES


def _stems(own: RecipeCounts) -> Counter[int]:
    return own.stems_per_mix


def _sizes(splits: dict[str, SplitStatistics]) -> Table:
    columns = (
        "split",
        "targets",
        "hours",
        "pairs",
        "hours",
        "songs",
        "mixes",
        "whole mixtures",
        "own pairs",
    )
    rows = []
    for name, split in splits.items():
        own = split.recipes
        hours = (f"{seconds / 3600:.3f}" for seconds in (own.target_seconds, own.pair_seconds))
        clips, pairs = zip((str(own.targets), str(own.pairs)), hours, strict=True)
        mixes = own.targets - own.whole_mixtures - own.own_pairs
        kinds = map(str, (mixes, own.whole_mixtures, own.own_pairs))
        rows.append([name, *clips, *pairs, str(len(own.songs)), *kinds])
    return Table("clips", columns, rows)


def _shares(
    title: str,
    splits: dict[str, SplitStatistics],
    counts: Callable[[RecipeCounts], Counter[Any]],
    names: Sequence[Any],
) -> Table:
    found = [counts(split.recipes) for split in splits.values()]
    rows = [[str(name), *(_share(own[name], own.total()) for own in found)] for name in names]
    return Table(title, ("", *splits), rows)


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}" if total else "-"


def groups_of(splits: dict[str, SplitStatistics]) -> list[CodingGroup]:
    """Return the pairs of all splits by codec and bitrate."""
    return coding_groups({name: split.codings for name, split in splits.items()})


def _bitrates(splits: dict[str, SplitStatistics]) -> Table:
    rows = []
    for group in groups_of(splits):
        true = group.actual_kbps.summary()
        edges = (group.edge_hz.summary(), group.clean_edge_hz.summary())
        rows.append(
            [
                group.codec,
                group.asked,
                *map(str, group.pairs.values()),
                f"{true.mean:.1f} ({true.min:.1f}..{true.max:.1f})" if true else "-",
                *(f"{edge.median / 1000:.2f}" if edge else "-" for edge in edges),
            ]
        )
    columns = ("codec", "asked", *splits, "true (least..most)", "edge", "clean edge")
    return Table("kbit/s, pairs, spectral edge (kHz)", columns, rows)


def levels(split: SplitStatistics) -> dict[str, Distribution]:
    """Return the distributions of one split by name; those of sound are empty without shards."""
    return {"gain_db": split.recipes.gains_db, "scale": split.scale, **split.sound}


LEVEL_TITLES = {
    "gain_db": "gain of a stem (dB)",
    "scale": "scale of a pair",
    "clean_peak_dbfs": "peak, clean (dBFS)",
    "coded_peak_dbfs": "peak, coded (dBFS)",
    "clean_lufs": "loudness, clean (LUFS)",
    "coded_lufs": "loudness, coded (LUFS)",
}


def _levels(splits: dict[str, SplitStatistics]) -> Table:
    rows = []
    for name, title in LEVEL_TITLES.items():
        found = [levels(split)[name].summary() for split in splits.values()]
        if any(found):
            rows.append([title, *map(_quantiles, found)])
    return Table("median (5 %..95 %)", ("", *splits), rows)


def _quantiles(own: Summary | None) -> str:
    return f"{own.median:.2f} ({own.p05:.2f}..{own.p95:.2f})" if own else "-"


def as_json(statistics: Statistics) -> dict[str, Any]:
    """Return everything as plain JSON values; what is not known is null."""
    return {
        "path": str(statistics.path),
        "from": "shards" if statistics.has_shards else "recipes",
        "splits": {name: _split_json(split) for name, split in statistics.splits.items()},
    }


def _split_json(split: SplitStatistics) -> dict[str, Any]:
    own = split.recipes
    return {
        "targets": own.targets,
        "target_hours": own.target_seconds / 3600.0,
        "pairs": own.pairs,
        "pair_hours": own.pair_seconds / 3600.0,
        "whole_mixtures": own.whole_mixtures,
        "categories": {name: own.categories[name] for name in (*CATEGORIES, PAIRED)},
        "stems_per_mix": {
            str(count): own.stems_per_mix[count] for count in sorted(own.stems_per_mix)
        },
        "stem_classes": {name: own.stem_classes[name] for name in STEM_CLASSES},
        "songs": dict(sorted(own.songs.items())),
        "measured_pairs": split.measured,
        "codings": [_coded_json(coded) for coded in split.codings.values()],
        "levels": {name: _summary_json(values) for name, values in levels(split).items()},
    }


def _coded_json(coded: Coded) -> dict[str, Any]:
    asked = coded.requested_kbps
    return {
        "codec": coded.codec,
        "requested_kbps": asked if np.isfinite(asked) else None,
        "pairs": coded.pairs,
        "actual_kbps": _summary_json(coded.actual_kbps),
        "edge_hz": _summary_json(coded.edge_hz),
        "clean_edge_hz": _summary_json(coded.clean_edge_hz),
    }


def _summary_json(values: Distribution) -> dict[str, float] | None:
    summary = values.summary()
    return dataclasses.asdict(summary) if summary else None
