"""The pairs that are scored: those of the test shards, or an even choice of them."""

import math
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from apollo_data.errors import DataError
from apollo_data.export.pair_files import pair_name
from apollo_data.records import CATEGORIES, PAIRED
from apollo_data.shards import ShardReader, find_shards
from apollo_data.storage import key_of

Array = npt.NDArray[Any]

_OPEN_SHARDS = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair of the test shards: where it is, how it was coded, and of which songs it is.

    `name` is what `apollo-data export` calls it. Where no bitrate was asked for,
    `requested_kbps` is NaN. `coding` says in full how the pair was coded.
    """

    shard: Path
    number: int
    target: int
    name: str
    category: str
    codec: str
    requested_kbps: float
    actual_kbps: float
    coding: str
    songs: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Shard and number: the same in every evaluation of the same shards."""
        return f"{self.shard.name}:{self.number}"

    @property
    def case(self) -> str:
        """The bitrate alone for MP3 at a constant bitrate, the whole coding for all others."""
        kbps = f"{self.requested_kbps:g}"
        return kbps if self.coding == f"mp3 {kbps}" else self.coding

    @property
    def case_order(self) -> tuple[bool, str, float, str]:
        """Sort plain MP3 first, then by codec, bitrate and the rest; variable bitrates last."""
        kbps = math.inf if math.isnan(self.requested_kbps) else self.requested_kbps
        return self.case == self.coding, self.codec, kbps, self.coding


@dataclass(frozen=True)
class PairList:
    """All pairs that are scored, and what their shards have in common.

    `key` tells what the shards were built from.
    """

    pairs: tuple[Pair, ...]
    sample_rate: int
    samples: int
    key: str

    @property
    def cases(self) -> list[str]:
        """The codings there are, in order."""
        return list(
            dict.fromkeys(pair.case for pair in sorted(self.pairs, key=lambda p: p.case_order))
        )

    @property
    def categories(self) -> list[str]:
        """The categories there are, in the paper's order."""
        there = {pair.category for pair in self.pairs}
        return [name for name in (*CATEGORIES, PAIRED) if name in there]


def list_pairs(shards: Path, limit: int | None = None) -> PairList:
    """List the pairs of the test shards.

    Parameters
    ----------
    shards
        Folder with ``test``, or one shard.
    limit
        Take so many pairs, drawn evenly from all categories and codings.

    Raises
    ------
    DataError
        There are no test shards, they hold no pairs, or differ in sample rate or length.
    """
    pairs: list[Pair] = []
    keys, kinds = [], set()
    for path in find_shards(shards, "test"):
        with ShardReader(path) as shard:
            keys.append((path.name, shard.key, shard.pairs))
            kinds.add((shard.sample_rate, shard.samples))
            if len(kinds) > 1:
                raise DataError(
                    f"{path}: holds clips of {shard.samples} samples at {shard.sample_rate} Hz,"
                    " the shards before it others than that; score them apart"
                )
            pairs += _pairs_of(shard, len(pairs))
    if not pairs:
        raise DataError(f"{shards}: the test shards hold no pairs")
    ((sample_rate, samples),) = kinds
    chosen = pairs if limit is None else choose_evenly(pairs, limit)
    return PairList(tuple(chosen), sample_rate, samples, key_of("test pairs", keys))


def _pairs_of(shard: ShardReader, first: int) -> list[Pair]:
    recipes = shard.recipes()
    seen: dict[int, int] = defaultdict(int)
    pairs = []
    for number, target in enumerate(shard.target_index.tolist()):
        recipe = recipes[target]
        coding = recipe.codings[seen[target]]
        seen[target] += 1
        codec, kbps = str(shard.codec_names[number]), float(shard.requested_kbps[number])
        pairs.append(
            Pair(
                shard=shard.path,
                number=number,
                target=target,
                name=pair_name(first + number, codec, kbps),
                category=sys.intern(recipe.category),
                codec=sys.intern(codec),
                requested_kbps=kbps,
                actual_kbps=float(shard.actual_kbps[number]),
                coding=sys.intern(coding.label),
                songs=tuple(dict.fromkeys(recipe.songs)),
            )
        )
    return pairs


def choose_evenly(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Return `count` pairs in their order, evenly from every category and coding.

    Within one of these they are spread over its whole length; the choice is always the same.
    """
    cells: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, pair in enumerate(pairs):
        cells[pair.category, pair.case].append(index)
    room = {cell: len(members) for cell, members in cells.items()}
    shares = dict.fromkeys(cells, 0)
    left = min(count, len(pairs))
    while left:
        open_cells = [cell for cell in cells if shares[cell] < room[cell]]
        if left < len(open_cells):
            open_cells = _most_different(open_cells, left)
        for cell in open_cells:
            shares[cell] += 1
        left -= len(open_cells)
    chosen = []
    for place, (cell, members) in enumerate(cells.items()):
        # Each coding begins elsewhere, so that few pairs do not all have one target.
        spare = (place * len(members) // len(cells)) if shares[cell] < len(members) else 0
        for k in range(shares[cell]):
            chosen.append(members[(k * len(members) // shares[cell] + spare) % len(members)])
    return [pairs[index] for index in sorted(chosen)]


def _most_different(cells: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """Return `count` cells with as many categories and codings among them as can be."""
    left, chosen = list(cells), []
    used: dict[str, int] = defaultdict(int)
    for _ in range(count):
        best = min(left, key=lambda cell: used[cell[0]] + used[cell[1]])
        left.remove(best)
        chosen.append(best)
        for part in best:
            used[part] += 1
    return chosen


_open: "OrderedDict[Path, ShardReader]" = OrderedDict()


def read_pair(pair: Pair) -> tuple[Array, Array]:
    """Return (coded, clean), each (2, samples) float32; a few shards stay open."""
    reader = _open.pop(pair.shard, None) or ShardReader(pair.shard)
    _open[pair.shard] = reader
    while len(_open) > _OPEN_SHARDS:
        _open.popitem(last=False)[1].close()
    return reader.read_pair(pair.number)
