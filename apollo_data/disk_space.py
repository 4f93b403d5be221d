"""Free disk space: checked before the work begins, and one clear error when a disk is full."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from apollo_data.errors import DataError

MAKE_ROOM = "make room or name a folder on another disk"
_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)
_PROBE_BYTES = 1 << 16
_MB = 10**6


def require_free_space(
    needed_bytes: Mapping[Path, int], purpose: str, advice: str = MAKE_ROOM
) -> None:
    """Check that existing folders have enough free space; folders on one disk share it.

    Parameters
    ----------
    needed_bytes
        How much will be written below each folder.
    purpose
        What needs the space, for the message: "the export".
    advice
        What the user can do about it.

    Raises
    ------
    DataError
        A disk has too little free space.
    """
    by_disk: dict[int, list[Path]] = {}
    for folder in needed_bytes:
        by_disk.setdefault(folder.stat().st_dev, []).append(folder)
    for folders in by_disk.values():
        needed = sum(needed_bytes[folder] for folder in folders)
        free = shutil.disk_usage(folders[0]).free
        if free < needed:
            raise DataError(
                f"{' and '.join(map(str, folders))}: {purpose} needs {readable_bytes(needed)},"
                f" this disk has {readable_bytes(free)} free; {advice}"
            )


@contextlib.contextmanager
def telling_full_disk(place: Path, advice: str = MAKE_ROOM) -> Iterator[None]:
    """Raise a `DataError` that says so when the block fails because a disk is full.

    libsndfile, HDF5, ffmpeg and others hide the cause, or tell it inside a text of their own.
    So when the block fails for any reason, the disk itself is asked too.

    Parameters
    ----------
    place
        The file or folder that the block writes to.

    Raises
    ------
    DataError
        The disk is full, or the user's quota is used up. Other errors pass through.
    """
    try:
        yield
    except Exception as error:
        reason = full_disk_reason(error) or _probe(place)
        if reason is None:
            raise
        raise DataError(f"{place}: {reason}; {advice}") from None


def full_disk_reason(error: BaseException) -> str | None:
    """Return the system's words if an error comes from a full disk or quota, else None.

    Examples
    --------
    >>> full_disk_reason(OSError(28, "No space left on device"))
    'no space left on device'
    >>> full_disk_reason(ValueError("something else")) is None
    True
    """
    number = getattr(error, "errno", None)
    text = str(error)
    for code in _FULL_ERRORS:
        if number == code or os.strerror(code) in text:
            return os.strerror(code).lower()
    return None


def _probe(place: Path) -> str | None:
    """Try to write a little beside `place`; return why the disk refuses it, None if it does not."""
    folder = place if place.is_dir() else place.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        return full_disk_reason(error)
    return None


def readable_bytes(count: int) -> str:
    """Return a number of bytes as people write it.

    Examples
    --------
    >>> readable_bytes(22_700_000_000), readable_bytes(1_240_000), readable_bytes(512)
    ('22.7 GB', '1.2 MB', '512 bytes')
    """
    if count >= 1000 * _MB:
        return f"{count / (1000 * _MB):.1f} GB"
    return f"{count / _MB:.1f} MB" if count >= _MB // 10 else f"{count} bytes"
