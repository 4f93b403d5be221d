"""Temporary folders; those of killed processes are found and removed."""

import contextlib
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_LOCK_SUFFIX = ".lock"


@contextlib.contextmanager
def scratch_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder in `place` that goes when the block ends.

    Its owner holds a lock beside it, which ends with the owner, however that ends. Before its
    first folder each process removes those in `place` whose owners are gone.
    """
    _sweep_once(place, prefix, os.getpid())
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=_LOCK_SUFFIX, dir=place)
    folder = Path(name.removesuffix(_LOCK_SUFFIX))
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # first, so that nobody removes the folder
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        Path(name).unlink(missing_ok=True)
        os.close(handle)


@functools.cache
def _sweep_once(place: Path, prefix: str, _process: int) -> None:
    remove_stale(place, prefix)


def remove_stale(place: Path, prefix: str) -> int:
    """Remove the scratch folders in `place` that no living process holds; return how many."""
    removed = 0
    for lock in place.glob(f"{prefix}*{_LOCK_SUFFIX}"):
        folder = Path(str(lock).removesuffix(_LOCK_SUFFIX))
        with contextlib.suppress(OSError), lock.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.is_dir():  # without one it may be about to be made
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)
                removed += 1
    return removed
