"""`pairs.csv`: which degraded file belongs to which clean one, as people and programs write it."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apollo_data.file_names import find_named
from apollo_data.records import SPLITS, Rejection
from apollo_data.sources.song import reject
from apollo_data.sources.split_folders import split_named

CSV_FILE = "pairs.csv"
SIDES = ("clean", "degraded")
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Pair:
    """Two files that belong together, and the split if one is named."""

    clean: Path
    degraded: Path
    split: str | None


def table_in(folder: Path) -> Path | None:
    """Return the folder's pairs.csv, in any letter case, or None."""
    path = find_named(folder / CSV_FILE)
    return path if path.is_file() else None


def read_table(path: Path, root: Path) -> Iterator[Pair | Rejection]:
    """Yield the pairs of a table, and a rejection for each row that cannot be used.

    Columns may be separated by commas, semicolons or tabs. Letter case and spaces around names
    and splits do not count. UTF-8 and the UTF-16 of spreadsheet programs are understood.
    """
    try:
        text = _decoded(path.read_bytes())
        header, _, _ = text.partition("\n")
        delimiter = max(_DELIMITERS, key=header.count)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (OSError, UnicodeError, csv.Error) as error:
        yield reject(path, root, f"cannot be read as CSV in UTF-8 ({error})")
        return
    names = [name.strip().casefold() for name in rows[0]] if rows else []
    if missing := sorted(set(SIDES) - set(names)):
        found = ", ".join(repr(name) for name in names[:6]) or "nothing"
        why = f"has no column {missing[0]!r}; its first row must name clean and degraded"
        yield reject(path, root, f"{why}, and names {found}")
        return
    for number, cells in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in cells):
            yield _pair(dict(zip(names, cells, strict=False)), number, path, root)


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def _pair(row: dict[str, str], number: int, path: Path, root: Path) -> Pair | Rejection:
    clean, degraded = (row.get(side, "").strip() for side in SIDES)
    name = row.get("split", "").strip()
    split = split_named(name)
    if not clean or not degraded:
        return reject(path, root, f"row {number} names no clean or no degraded file")
    if any(ord(letter) < 32 for letter in clean + degraded):
        return reject(path, root, f"row {number} names a file with control characters")
    if name and split is None:
        return reject(path, root, f"row {number}: split {name!r} is none of {', '.join(SPLITS)}")
    return Pair(_file(path.parent, clean), _file(path.parent, degraded), split)


def _file(folder: Path, name: str) -> Path:
    """Return the file that a table names; backslashes may be those of Windows."""
    file = find_named(folder / name)
    if not file.exists() and "\\" in name:
        other = find_named(folder / name.replace("\\", "/"))
        return other if other.exists() else file
    return file
