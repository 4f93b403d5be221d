"""Results on disk: written whole, with a record by which finished work is recognised."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from apollo_data.errors import DataError
from apollo_data.storage import PARTIAL_SUFFIX, whole_file, write_text

_RECORD_SUFFIX = ".apollo.json"
_LONGEST_NAME_BYTES = 255  # of Linux and macOS


def record_of(out: Path) -> Path:
    """Return the place of a result's record: ``.NAME.apollo.json``, NAME shortened if need be."""
    name = os.fsencode(out.name)
    if len(name) + len(_RECORD_SUFFIX) + 1 > _LONGEST_NAME_BYTES:
        beginning = name[:100].decode("utf-8", "ignore")
        return out.with_name(f".{beginning}.{hashlib.sha256(name).hexdigest()}{_RECORD_SUFFIX}")
    return out.with_name(f".{out.name}{_RECORD_SUFFIX}")


def is_done(out: Path, key: str) -> bool:
    """Tell whether a result is there that was made under this key."""
    try:
        record = json.loads(record_of(out).read_text(encoding="utf-8"))
        return bool(record == {"key": key, "bytes": out.stat().st_size})
    except (OSError, ValueError):
        return False


def require_writable(out: Path) -> None:
    """Make the folder of a result, and check that the result can be written there.

    Raises
    ------
    DataError
        It cannot: the name is too long, or the folder cannot be made or written.
    """
    folder = out.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        longest = os.pathconf(folder, "PC_NAME_MAX")
        if (size := len(os.fsencode(out.name))) > longest:
            raise OSError(errno.ENAMETOOLONG, f"the name has {size} bytes, {longest} are possible")
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=PARTIAL_SUFFIX):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{out}: cannot be written ({reason}); choose another --out") from None


@contextlib.contextmanager
def recorded_result(out: Path, key: str) -> Iterator[Path]:
    """Yield a temporary path; when the block succeeds, its file becomes the result `out`.

    A process that is killed at any point leaves either no result under this name, or one whose
    record has another key, or the finished one.
    """
    record = record_of(out)
    try:
        with whole_file(out) as temporary, _held(temporary):
            yield temporary
            size = temporary.stat().st_size
            write_text(record, json.dumps({"key": "", "bytes": 0}) + "\n")
        write_text(record, json.dumps({"key": key, "bytes": size}) + "\n")
    finally:
        if not out.exists():
            record.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(temporary: Path) -> Iterator[None]:
    """Hold a lock on a temporary file, so that `remove_dead_partials` leaves it alone."""
    with temporary.open("rb") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def remove_dead_partials(out: Path) -> None:
    """Remove the temporary files that killed processes left for this one result."""
    beginning = os.fsencode(out.name)[:100].decode("utf-8", "ignore")
    pattern = re.compile(rf"\.{re.escape(beginning)}\.\w{{8}}{re.escape(PARTIAL_SUFFIX)}")
    for path in out.parent.iterdir() if out.parent.is_dir() else ():
        if pattern.fullmatch(path.name):
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
