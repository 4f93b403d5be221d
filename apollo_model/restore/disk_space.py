"""Room on the disk: asked for before the work, and told in plain words where it ends."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from apollo_data.errors import DataError

_MARGIN_BYTES = 1 << 20
_FULL_BYTES = 1 << 16  # less than a program's usual write


def require_room(needed_bytes: Mapping[Path, int]) -> None:
    """Check that folders have room; those on one disk share it.

    Raises
    ------
    DataError
        One has too little.
    """
    by_disk: dict[int, list[Path]] = {}
    for folder in needed_bytes:
        by_disk.setdefault(folder.stat().st_dev, []).append(folder)
    for folders in by_disk.values():
        needed = sum(needed_bytes[folder] for folder in folders) + _MARGIN_BYTES
        free = shutil.disk_usage(folders[0]).free
        if free < needed:
            raise DataError(
                f"{' and '.join(map(str, folders))}: needs {needed / 1e6:.0f} MB, {free / 1e6:.0f}"
                " MB are free; make room, or name another folder (--out, $TMPDIR)"
            )


@contextlib.contextmanager
def telling_full_disk(folder: Path) -> Iterator[None]:
    """Turn what sound libraries and ffmpeg make of a full disk into a `DataError` that says it."""
    full = os.strerror(errno.ENOSPC)
    try:
        yield
    except Exception as error:
        is_full = full in str(error) or shutil.disk_usage(folder).free < _FULL_BYTES
        if not is_full:
            raise
        raise DataError(
            f"{folder}: {full.lower()}; make room, or name another folder (--out, $TMPDIR)"
        ) from None
