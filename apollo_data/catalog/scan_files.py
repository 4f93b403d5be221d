"""The file scan: read every audio file of the songs once, in parallel, and keep its facts.

Size and modification time tell only whether a file has to be read again. What follows from a file
follows from its content.
"""

import contextlib
import functools
from collections.abc import Collection, Sequence
from pathlib import Path

from apollo_data.audio.scan_file import digest_file, scan_file
from apollo_data.console import Console
from apollo_data.file_names import path_text
from apollo_data.parallel import parallel_map
from apollo_data.records import FileFacts
from apollo_data.settings import CatalogSettings
from apollo_data.storage import key_of
from apollo_data.workspace.manifest import is_current, write_manifest
from apollo_data.workspace.progress import kept_rows, saving

_VERSION = 2  # of what a row holds; rows of another version are read anew


def scan_files(
    files: Sequence[Path],
    root: Path,
    manifest: Path,
    settings: CatalogSettings,
    workers: int,
    console: Console,
    pair_files: Sequence[Path] = (),
) -> dict[Path, FileFacts]:
    """Return what is known about each file, reading those that are new or have changed.

    Parameters
    ----------
    files
        Audio files below `root`.
    root
        The folder that the rows' paths are relative to.
    manifest
        files.jsonl of the working folder, in which the facts are kept. A file of the same size
        and modification time is not read again.
    settings, workers, console
        What is measured, on how many processes, and where progress is shown.
    pair_files
        Files of the user's own pairs, which may have any format: their bytes are hashed.
    """
    key = key_of(_VERSION, settings.measure, settings.sha256)
    known = _known(manifest, key)
    own = frozenset(files)
    if settings.measure:
        files = [*files, *(file for file in dict.fromkeys(pair_files) if file not in own)]
    facts = {file: row for file in files if (row := known.get(_state(file, root)))}
    new = [file for file in files if file not in facts]
    look = functools.partial(_look, root=root, settings=settings, stems=own)

    def save() -> None:
        rows = [facts[file] for file in files if file in facts]
        write_manifest(manifest, "files", rows, key, root)

    with (
        saving(save) as tick,
        console.progress("files", len(new), "files") as advance,
        contextlib.closing(parallel_map(look, new, workers)) as rows,
    ):
        for file, row in zip(new, rows, strict=True):
            facts[file] = row
            advance(1)
            tick()
    if new or len(facts) != len(known) or not is_current(manifest, key, root):
        save()
    return facts


def _look(file: Path, root: Path, settings: CatalogSettings, stems: Collection[Path]) -> FileFacts:
    return scan_file(file, root, settings) if file in stems else digest_file(file, root)


_State = tuple[str, int, int]


def _state(file: Path, root: Path) -> _State:
    """Return a file's name, size and modification time; a missing file has never been seen."""
    try:
        state = file.stat()
    except (OSError, ValueError):
        return "", 0, 0
    return path_text(file, root), state.st_size, state.st_mtime_ns


def _known(manifest: Path, key: str) -> dict[_State, FileFacts]:
    """Return what an earlier run has written; nothing if it asked for something else.

    Rows hold wherever the songs have moved to since: their paths are relative.
    """
    rows = kept_rows(manifest, "files", FileFacts) if is_current(manifest, key) else []
    return {(row.path, row.bytes, row.modified_ns): row for row in rows}
