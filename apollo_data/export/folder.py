"""The export folder: locked, of one content, with a report of what it holds."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apollo_data.errors import DataError
from apollo_data.storage import folder_lock, remove_partials, write_text

MARKER = ".apollo-export.json"
_LOCK = ".lock"


@dataclass
class Exported:
    """What one folder of an export holds; `seconds` is the length of its clips in all."""

    files: int = 0
    clips: int = 0
    seconds: float = 0.0
    bytes: int = 0


@dataclass
class ExportReport:
    """What an export holds, by folder, and what a run did for it.

    Attributes
    ----------
    folders
        What is there now.
    written, kept
        Files that this run wrote, and those that an earlier one had written.
    missing_classes
        Stem classes that the training data do not have.
    """

    folders: dict[str, Exported] = field(default_factory=dict)
    written: int = 0
    kept: int = 0
    missing_classes: tuple[str, ...] = ()

    def add(
        self, folder: str, *, files: int, clips: int, seconds: float, size_bytes: int, written: int
    ) -> None:
        """Count files that are there now, `written` of which are new."""
        there = self.folders.setdefault(folder, Exported())
        there.files += files
        there.clips += clips
        there.seconds += seconds
        there.bytes += size_bytes
        self.written += written
        self.kept += files - written


@contextlib.contextmanager
def export_folder(out: Path, sources: Sequence[Path], key: str) -> Iterator[None]:
    """Lock `out` for an export of one content; a second run of the same export goes on in it.

    Parameters
    ----------
    out
        The folder to write into: new, empty, or that of the same export.
    sources
        Folders (or files in them) that are read; `out` may lie in none of them.
    key
        A hash of everything that the files are made from.

    Raises
    ------
    DataError
        `out` lies in a source, holds other files, or an export of something else.
    BusyError
        Another process is at work in `out`.
    """
    place = Path(os.path.realpath(out))  # resolve() raises on a link to itself
    for source in (path if path.is_dir() else path.parent for path in sources):
        if source.resolve() in (place, *place.parents):
            raise DataError(f"{out}: lies in {source}, which is read; name a folder outside it")
    _refuse_strangers(out)
    with folder_lock(out):
        _claim(out, key)
        remove_partials(out)
        try:
            yield
        finally:
            remove_partials(out)


def _refuse_strangers(out: Path) -> None:
    """Refuse a file, and a folder that holds other files than an export's."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, expected a folder")
    if not out.is_dir() or (out / MARKER).is_file():
        return
    if any(item.name != _LOCK for item in out.iterdir()):
        raise DataError(f"{out}: holds other files; name a new or an empty folder")


def _claim(out: Path, key: str) -> None:
    marker = out / MARKER
    content = {"format": "apollo-export", "key": key}
    if not marker.is_file():
        write_text(marker, json.dumps(content) + "\n")
        return
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found != content:
        raise DataError(
            f"{out}: holds an export of other data or options; delete it or name another folder"
        )
