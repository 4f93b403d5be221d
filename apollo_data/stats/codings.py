"""How pairs were coded: counts and measures by codec and requested bitrate."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from apollo_data.records import Coding
from apollo_data.stats.distribution import Distribution

_MOST_BITRATES = 12  # bitrates of one codec listed separately; a range has thousands
_BANDS = 6


@dataclass
class Coded:
    """The pairs of one codec and requested bitrate (NaN if a quality was requested).

    The distributions need shards: true bitrates of all pairs, and the spectral edges of the
    measured pairs on the coded and the clean side.
    """

    codec: str
    requested_kbps: float
    pairs: int = 0
    actual_kbps: Distribution = field(default_factory=Distribution)
    edge_hz: Distribution = field(default_factory=Distribution)
    clean_edge_hz: Distribution = field(default_factory=Distribution)


Codings = dict[str, Coded]
"""What is known of one split's codings, by the names of `coding_label`."""


def coding_label(codec: str, requested_kbps: float) -> str:
    """Return a codec and bitrate as a label; the codec alone if no bitrate was requested.

    Examples
    --------
    >>> coding_label("mp3", 24.0), coding_label("mp3", float("nan"))
    ('mp3 24', 'mp3')
    """
    return f"{codec} {requested_kbps:g}" if math.isfinite(requested_kbps) else codec


def coded_of(codings: Codings, codec: str, requested_kbps: float) -> Coded:
    """Return the pairs of one codec and requested bitrate."""
    label = coding_label(codec, requested_kbps)
    return codings.setdefault(label, Coded(codec, float(requested_kbps)))


def asked_for(coding: Coding) -> tuple[str, float]:
    """Return the codec and the bitrate in kbit/s that a recipe asks for, as shards record them."""
    asked = coding.steps[-1].requested_kbps
    return coding.codecs, math.nan if asked is None else asked


@dataclass(frozen=True)
class CodingGroup:
    """Pairs of all splits of one codec and bitrate, or of a band of bitrates.

    `asked` is the bitrate, the band's ends, or "-" where no bitrate was asked for.
    """

    codec: str
    asked: str
    requested_kbps: float
    pairs: dict[str, int]
    actual_kbps: Distribution
    edge_hz: Distribution
    clean_edge_hz: Distribution


def coding_groups(splits: dict[str, Codings]) -> list[CodingGroup]:
    """Return the codings of all splits by codec and bitrate; many bitrates as six bands."""
    keys = {
        (coded.codec, np.nan_to_num(coded.requested_kbps), label)
        for codings in splits.values()
        for label, coded in codings.items()
    }
    groups: list[CodingGroup] = []
    for _codec, own in groupby(sorted(keys), key=lambda key: key[0]):
        labels = [label for _, _, label in own]
        for members in _bands(labels):
            groups.append(_group(splits, members))
    return groups


def _bands(labels: Sequence[str]) -> Iterator[list[str]]:
    count = _BANDS if len(labels) > _MOST_BITRATES else len(labels)
    for band in np.array_split(np.arange(len(labels)), count):
        yield [labels[number] for number in band]


def _group(splits: dict[str, Codings], labels: Sequence[str]) -> CodingGroup:
    found = [codings[label] for label in labels for codings in splits.values() if label in codings]
    first, last = found[0].requested_kbps, found[-1].requested_kbps
    together = {}
    for name in ("actual_kbps", "edge_hz", "clean_edge_hz"):
        together[name] = Distribution()
        for coded in found:
            together[name].extend(getattr(coded, name).values)
    return CodingGroup(
        codec=found[0].codec,
        asked=_asked(first, last),
        requested_kbps=(first + last) / 2.0,
        pairs={
            split: sum(codings[label].pairs for label in labels if label in codings)
            for split, codings in splits.items()
        },
        **together,
    )


def _asked(first: float, last: float) -> str:
    if not math.isfinite(first):
        return "-"
    return f"{first:g}" if first == last else f"{first:g}..{last:g}"
