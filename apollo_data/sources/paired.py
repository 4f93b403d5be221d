"""The user's own pairs: `clean/` and `degraded/` with equal names, or a `pairs.csv`.

The CSV has the columns `degraded` and `clean`, paths relative to itself, and may have
`split`; further columns are ignored. In the two folders, a first folder called `train`,
`valid` or `test` names the split. Without a name the clean side's path decides by hash, so
that all degraded forms of one recording are in the same split.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from apollo_data.records import SPLITS, PairedFiles, Rejection, Track
from apollo_data.sources.artists import split_by_hash
from apollo_data.sources.song import reject

NAME = "paired"
CSV_FILE = "pairs.csv"
_SIDES = ("clean", "degraded")
_SUFFIXES = (
    *(".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".caf", ".dsf", ".eac3", ".flac"),
    *(".m4a", ".mka", ".mp2", ".mp3", ".mp4", ".mpc", ".oga", ".ogg", ".opus", ".tak", ".tta"),
    *(".w64", ".wav", ".webm", ".wma", ".wv"),
)


@dataclass(frozen=True)
class _Pair:
    clean: Path
    degraded: Path
    split: str | None


def is_set(folder: Path) -> bool:
    """Tell whether a folder holds pairs."""
    return (folder / CSV_FILE).is_file() or all((folder / side).is_dir() for side in _SIDES)


def other_folders(folder: Path, names: Iterable[str]) -> list[str]:
    """Return which folders in a set of pairs may hold further songs: none that a CSV speaks for."""
    if (folder / CSV_FILE).is_file():
        return []
    return [name for name in names if name not in _SIDES]


def read_set(folder: Path, root: Path) -> tuple[list[Track], list[Rejection]]:
    """Read a folder of pairs; what has no partner or cannot be meant is rejected."""
    found = (
        _from_csv(folder, root) if (folder / CSV_FILE).is_file() else _from_folders(folder, root)
    )
    tracks: list[Track] = []
    rejections: list[Rejection] = []
    split_of: dict[Path, str] = {}
    for item in found:
        if isinstance(item, Rejection):
            rejections.append(item)
            continue
        split = item.split or split_by_hash(f"{NAME}/{_below(item.clean, folder)}")
        first = split_of.setdefault(item.clean, split)
        if first != split:
            why = f"its clean side is in {first} already and cannot be in {split} too"
            rejections.append(_reject(item.degraded, root, why))
            continue
        tracks.append(
            Track(
                song=f"{NAME}/{_below(item.degraded, folder)}",
                source=NAME,
                split=split,
                title=item.degraded.stem,
                artist="",
                stems=(),
                pair=PairedFiles(_below(item.clean, root), _below(item.degraded, root)),
            )
        )
    return tracks, rejections


def _below(path: Path, root: Path) -> str:
    """Return the path as manifests hold it: relative to `root` where it lies below it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _reject(path: Path, root: Path, reason: str) -> Rejection:
    return Rejection(_below(path, root), "catalog", reason)


def _from_csv(folder: Path, root: Path) -> Iterator[_Pair | Rejection]:
    path = folder / CSV_FILE
    try:
        with path.open(encoding="utf-8-sig", newline="") as source:
            reader = csv.DictReader(source)
            if missing := set(_SIDES) - set(reader.fieldnames or ()):
                yield reject(path, root, f"has no column {sorted(missing)[0]!r}")
                return
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        yield reject(path, root, f"cannot be read as CSV ({error})")
        return
    for number, row in enumerate(rows, start=2):
        split = (row.get("split") or "").strip() or None
        if not row["clean"] or not row["degraded"]:
            yield reject(path, root, f"row {number} names no clean or no degraded file")
        elif split is not None and split not in SPLITS:
            yield reject(
                path, root, f"row {number}: split {split!r} is none of {', '.join(SPLITS)}"
            )
        else:
            yield _Pair(folder / row["clean"], folder / row["degraded"], split)


def _from_folders(folder: Path, root: Path) -> Iterator[_Pair | Rejection]:
    clean, degraded = (_by_name(folder / side) for side in _SIDES)
    for side, own, others in (("degraded", clean, degraded), ("clean", degraded, clean)):
        for name in sorted(own.keys() - others.keys()):
            for path in own[name]:
                yield reject(path, root, f"has no {side} partner of the same name")
    for name in sorted(clean.keys() & degraded.keys()):
        first, *more = clean[name]
        for path in more:
            yield reject(path, root, f"is a second clean side beside {first.name}")
        split = Path(name).parts[0] if Path(name).parts[0] in SPLITS else None
        for path in degraded[name]:
            yield _Pair(first, path, split)


def _by_name(folder: Path) -> dict[str, list[Path]]:
    """Return the audio files below a folder by their relative paths without suffix."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
            files.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return files
