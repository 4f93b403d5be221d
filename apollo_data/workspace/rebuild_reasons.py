"""Reasons for rebuilding: which settings and inputs differ from those of the last run."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from apollo_data.errors import DataError
from apollo_data.workspace.manifest import read_header

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_NAMES = 4


_NOTHING_NAMED = "its content changed"


def rebuild_reason(path: Path, made_from: Mapping[str, str], same: str = _NOTHING_NAMED) -> str:
    """Return what changed since a manifest was written; empty if there is none yet.

    `same` is the reason to give if it was made from the same settings and inputs.
    """
    if not path.exists():
        return ""
    try:
        before = read_header(path).made_from
    except DataError:
        return "it could not be read"
    return same if before == made_from else differences(before, made_from)


def require_origin(path: Path, origin: Mapping[str, str], remedy: str) -> None:
    """Raise a `DataError` if a manifest was made from other settings or inputs than `origin`.

    `remedy` tells the user how to make it anew.
    """
    before = read_header(path).made_from
    if before != origin:
        why = differences(before, origin)
        raise DataError(f"{path}: is of other settings or inputs ({why}); {remedy}")


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Name what differs between two origins: settings by their names, inputs as a whole.

    Examples
    --------
    >>> differences({"settings": "a = 1"}, {"settings": "a = 2", "catalog": "x"})
    'a changed, the catalog changed'
    """
    if not before:
        return "another version of this software made it"
    words = [f"{name} changed" for name in changed_settings(before["settings"], now["settings"])]
    if len(words) > _MOST_NAMES:
        words[_MOST_NAMES - 1 :] = [f"{len(words) - _MOST_NAMES + 1} more settings changed"]
    names = [name for name in {**before, **now} if name != "settings"]
    words += [f"the {name} changed" for name in names if before.get(name) != now.get(name)]
    return ", ".join(words) or _NOTHING_NAMED


def changed_settings(before: str, now: str) -> list[str]:
    r"""Return the full names of settings that differ between two TOML texts, sorted.

    Examples
    --------
    >>> changed_settings("[mixing]\nmin_stems = 1", "seed = 1\n[mixing]\nmin_stems = 2")
    ['mixing.min_stems', 'seed']
    """
    old, new = (dict(_flat(tomllib.loads(text))) for text in (before, now))
    return sorted(name for name in old | new if old.get(name) != new.get(name))


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
