"""exclusions.jsonl: rows by `check --fix` or by hand, and where they are looked for."""

import json
from collections.abc import Iterable
from pathlib import Path

from apollo_data.errors import DataError
from apollo_data.records import Rejection
from apollo_data.workspace.folder import WorkFolder, default_folder
from apollo_data.workspace.manifest import (
    FORMAT,
    from_json,
    read_header,
    root_of,
    write_manifest,
)

_EXAMPLE = '{"path": "train/Some Song", "reason": "why"}'


def read_exclusion_file(path: Path) -> tuple[Rejection, ...]:
    """Return the rows of an exclusions.jsonl; none if there is no such file.

    The header may be missing, as in a file written by hand, and so may `stage` and `reason`.

    Raises
    ------
    DataError
        A row cannot be read.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is no plain file")
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    rows: list[Rejection] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
            if number == 1 and values.get("format") == FORMAT:
                _check_header(path)
                continue
            given = {"stage": "check", "reason": "excluded by hand", **values}
            if not all(isinstance(given.get(name), str) for name in ("path", "reason")):
                raise TypeError("its path or reason is no text")
            rows.append(from_json(Rejection, given))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{path}: row {number} cannot be read ({error}); expected {_EXAMPLE}"
            ) from None
    return tuple(rows)


def _check_header(path: Path) -> None:
    kind = read_header(path).kind
    if kind != "exclusions":
        raise DataError(f"{path}: holds {kind}, expected exclusions")


def write_exclusion_file(path: Path, rows: Iterable[Rejection], root: Path) -> None:
    """Write exclusions whose paths are relative to `root`, the folder of songs."""
    write_manifest(path, "exclusions", rows, "", root)


def find_exclusions(root: Path, work: WorkFolder) -> tuple[tuple[Rejection, ...], list[Path]]:
    """Return the rows for the songs below `root`, and the files that they come from.

    `check --fix` writes into a working folder of its own unless told otherwise, so the file is
    looked for there, too. There it counts if it was written for the same songs.
    """
    files = [work.exclusions]
    if (elsewhere := checked_folder(root)) is not None:
        other = elsewhere / work.exclusions.name
        if other.resolve() != work.exclusions.resolve() and _is_for(other, root):
            files.append(other)
    found = {file: read_exclusion_file(file) for file in files}
    rows = {row.path: row for file in reversed(files) for row in found[file]}
    return tuple(rows.values()), [file for file in files if found[file]]


def checked_folder(root: Path) -> Path | None:
    """Return the folder that `check` works in for the songs below `root` without --out."""
    try:
        return default_folder(root)
    except DataError:
        return None


def _is_for(path: Path, root: Path) -> bool:
    if not path.is_file():
        return False
    try:
        return root_of(path, read_header(path)).resolve() == root.resolve()
    except DataError:
        return False
