"""Summary of a shard: counts, bitrates, categories."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apollo_data.shards.reader import ShardReader

_MOST_BITRATES = 20  # listed separately; from a range nearly every pair has its own


@dataclass(frozen=True)
class ShardSummary:
    """Summary of a shard; `bitrates` counts pairs by "requested=actual" kbit/s.

    Actual is the mean; requested is ``vbr`` for a quality; codecs other than MP3 are named.
    """

    path: str
    split: str
    targets: int
    pairs: int
    sample_rate: int
    clip_seconds: float
    bitrates: dict[str, int]
    categories: dict[str, int]
    software: str
    settings: str


def summarise_shard(path: Path) -> ShardSummary:
    """Read what a shard holds, without its samples."""
    with ShardReader(path) as shard:
        categories = Counter(recipe.category for recipe in shard.recipes())
        return ShardSummary(
            path=str(path),
            split=shard.split,
            targets=shard.targets,
            pairs=shard.pairs,
            sample_rate=shard.sample_rate,
            clip_seconds=shard.clip_seconds,
            bitrates=_count_bitrates(shard),
            categories=dict(sorted(categories.items())),
            software=shard.software,
            settings=shard.settings,
        )


def _count_bitrates(shard: ShardReader) -> dict[str, int]:
    """Count pairs by codec, bitrate asked for and mean true bitrate."""
    groups: dict[tuple[str, str], list[int]] = {}
    order = np.lexsort((shard.actual_kbps, shard.requested_kbps, shard.codec_names.astype(str)))
    for pair in order.tolist():
        asked = shard.requested_kbps[pair]
        text = "vbr" if np.isnan(asked) else f"{asked:g}"
        groups.setdefault((str(shard.codec_names[pair]), text), []).append(pair)
    counts: dict[str, int] = {}
    for codec, own in itertools.groupby(groups, key=lambda group: group[0]):
        counts |= _bitrate_lines(shard, codec, {text: groups[codec, text] for _, text in own})
    return counts


def _bitrate_lines(
    shard: ShardReader, codec: str, pairs: dict[str, list[int]]
) -> Iterator[tuple[str, int]]:
    """Yield one line for each bitrate, or one line for bitrates drawn from a range."""
    if len(pairs) > _MOST_BITRATES:
        texts = list(pairs)
        pairs = {f"{texts[0]}..{texts[-1]}": [pair for own in pairs.values() for pair in own]}
    name = "" if codec == "mp3" else f"{codec} "
    for text, own in pairs.items():
        yield f"{name}{text}={round(float(shard.actual_kbps[own].mean()), 1):g}", len(own)
