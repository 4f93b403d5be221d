"""Statistics of a working folder, a folder of shards or a plan, read one shard at a time.

Memory grows by a few numbers a clip. Sound is measured on a sample of the
pairs, evenly spaced over each split's pairs in the order of their codec and bitrate, so that
every bitrate has its share and the same data set always gives the same figures.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.records import SPLITS, MixRecipe
from apollo_data.shards import ShardReader, find_shards
from apollo_data.stats.codings import Codings, asked_for, coded_of, coding_label
from apollo_data.stats.distribution import Distribution
from apollo_data.stats.recipes import RecipeCounts
from apollo_data.stats.sound import PairSound, measure_pair
from apollo_data.workspace.folder import WorkFolder, shards_in
from apollo_data.workspace.manifest import iterate_rows

SOUND_NAMES = tuple(
    field.name for field in dataclasses.fields(PairSound) if not field.name.endswith("_hz")
)
"""What is measured of every pair's levels; the spectral edges belong to a bitrate."""


@dataclass
class SplitStatistics:
    """Statistics of one split; scale and sound need shards.

    Attributes
    ----------
    recipes
        Counts over its recipes.
    codings
        Its pairs by codec and requested bitrate.
    scale
        The factor that each pair's sides were divided by.
    sound
        Levels of the measured pairs, by the names in `PairSound`.
    measured
        How many pairs were measured.
    """

    recipes: RecipeCounts = field(default_factory=RecipeCounts)
    codings: Codings = field(default_factory=dict)
    scale: Distribution = field(default_factory=Distribution)
    sound: dict[str, Distribution] = field(
        default_factory=lambda: {name: Distribution() for name in SOUND_NAMES}
    )
    measured: int = 0


@dataclass(frozen=True)
class Statistics:
    """Statistics of `path` by split; without shards they cover its recipes only."""

    path: Path
    has_shards: bool
    splits: dict[str, SplitStatistics]


def gather(path: Path, pairs_per_split: int, console: Console) -> Statistics:
    """Read a working folder, a folder of shards, one shard, or a mixes.jsonl.

    Parameters
    ----------
    path
        Where the data are. A working folder without shards is read for its plan.
    pairs_per_split
        At most so many pairs of each split are measured.

    Raises
    ------
    DataError
        There are neither shards nor a plan.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    plan = path if path.suffix == ".jsonl" else WorkFolder.at(path).mixes
    try:
        shards = [] if plan == path else find_shards(shards_in(path))
    except DataError:
        if not plan.is_file():
            raise DataError(
                f"{path}: holds neither shards nor {plan.name}; run apollo-data build-h5"
            ) from None
        shards = []
    if shards:
        return Statistics(path, True, _of_shards(shards, pairs_per_split, console))
    return Statistics(path, False, of_recipes(iterate_rows(plan, "mixes", MixRecipe)))


def of_recipes(recipes: Iterable[MixRecipe]) -> dict[str, SplitStatistics]:
    """Return the statistics of each split that the recipes name, of the recipes alone."""
    splits: dict[str, SplitStatistics] = {}
    for recipe in recipes:
        split = splits.setdefault(recipe.split, SplitStatistics())
        split.recipes.add(recipe)
        for coding in recipe.codings:
            coded_of(split.codings, *asked_for(coding)).pairs += 1
    return _in_order(splits)


def _in_order(splits: dict[str, SplitStatistics]) -> dict[str, SplitStatistics]:
    return {split: splits[split] for split in SPLITS if split in splits}


def _of_shards(
    shards: Sequence[Path], pairs_per_split: int, console: Console
) -> dict[str, SplitStatistics]:
    splits: dict[str, SplitStatistics] = {}
    labels: dict[str, list[tuple[Path, list[str]]]] = {}
    for path in shards:
        with ShardReader(path) as shard:
            split = splits.setdefault(shard.split, SplitStatistics())
            for recipe in shard.recipes():
                split.recipes.add(recipe)
            labels.setdefault(shard.split, []).append((path, _count_pairs(shard, split)))
    chosen = {name: list(choose_pairs(labels[name], pairs_per_split)) for name in splits}
    total = sum(len(pairs) for groups in chosen.values() for _, pairs in groups)
    with console.progress("stats", total, "pairs") as advance:
        for name, groups in chosen.items():
            for path, pairs in groups:
                _measure(path, pairs, splits[name])
                advance(len(pairs))
    return _in_order(splits)


def _count_pairs(shard: ShardReader, split: SplitStatistics) -> list[str]:
    """Take what the shard says about its pairs, and return the label of each one's coding."""
    split.scale.extend(shard.scale)
    labels = []
    columns = (shard.codec_names, shard.requested_kbps, shard.actual_kbps)
    for codec, asked, actual in zip(*columns, strict=True):
        labels.append(coding_label(codec, asked))
        coded = coded_of(split.codings, codec, asked)
        coded.pairs += 1
        coded.actual_kbps.add(float(actual))
    return labels


def choose_pairs(
    labels: Sequence[tuple[Path, list[str]]], count: int
) -> Iterator[tuple[Path, npt.NDArray[np.int64]]]:
    """Choose at most `count` pairs of a split, evenly spaced in the order of their labels.

    Yields
    ------
    shard, pairs
        Each shard with its chosen pairs, in order.
    """
    ends = np.cumsum([len(own) for _, own in labels])
    order = np.argsort([label for _, own in labels for label in own], kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.int64)
    chosen = np.sort(order[places])
    for (path, own), end in zip(labels, ends, strict=True):
        start = end - len(own)
        yield path, chosen[(chosen >= start) & (chosen < end)] - start


def _measure(path: Path, pairs: npt.NDArray[np.int64], split: SplitStatistics) -> None:
    with ShardReader(path) as shard:
        for pair in pairs.tolist():
            sound = measure_pair(*shard.read_pair(pair), shard.sample_rate)
            codec, asked = shard.codec_names[pair], shard.requested_kbps[pair]
            coded = coded_of(split.codings, codec, asked)
            coded.edge_hz.add(sound.edge_hz)
            coded.clean_edge_hz.add(sound.clean_edge_hz)
            for name, values in split.sound.items():
                values.add(getattr(sound, name))
            split.measured += 1
