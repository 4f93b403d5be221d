"""The committed facts in `manifests/`: stem maps, official splits, where the data sets are."""

import functools
import sys
from dataclasses import dataclass
from typing import Any

from apollo_data.errors import DataError
from apollo_data.records import SPLITS
from apollo_data.settings.packaged import packaged_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class SourceFacts:
    """Where a data set can be had, how it is recognised and under which licence it stands.

    Attributes
    ----------
    name
        What commands call it; also its folder's name.
    title, homepage
        What people call it, and where it is described.
    address
        URL of the archive.
    archive
        File name of the archive.
    sha256
        The archive's SHA-256 in hexadecimal.
    approximate_bytes, approximate_unpacked_bytes
        Sizes of the archive and of what is in it, good enough to plan with.
    songs, hours
        How many songs it has, and their length in all.
    licence, licence_address, terms
        Its name, its text's URL, and what it means for the user in a sentence.
    """

    name: str
    title: str
    homepage: str
    address: str
    archive: str
    sha256: str
    approximate_bytes: int
    approximate_unpacked_bytes: int
    songs: int
    hours: float
    licence: str
    licence_address: str
    terms: str


@functools.cache
def _facts(name: str) -> dict[str, Any]:
    path = packaged_file("manifests", name)
    if path is None:
        raise DataError(f"manifests/{name}: is not part of this installation; install it again")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def stem_map(source: str) -> dict[str, str]:
    """Return the stem class of each stem name of a source."""
    return dict(_facts("stem_maps.toml")[source])


def official_songs(source: str, split: str) -> frozenset[str]:
    """Return the names of a source's songs in an official split; none where it has no list."""
    return frozenset(_facts("splits.toml").get(source, {}).get(split, ()))


def official_names(source: str) -> frozenset[str]:
    """Return the names of all official songs of a source; none where it has no list."""
    return frozenset().union(*(official_songs(source, split) for split in SPLITS))


def source_names() -> tuple[str, ...]:
    """Return the names of the data sets that can be downloaded."""
    return tuple(_facts("sources.toml"))


def source_facts(source: str) -> SourceFacts:
    """Return what `manifests/sources.toml` says about a data set that can be downloaded.

    Raises
    ------
    DataError
        There is no such source.
    """
    known = _facts("sources.toml")
    if source not in known:
        raise DataError(f"source {source!r}: is not known; name one of {', '.join(known)}")
    return SourceFacts(name=source, **known[source])
