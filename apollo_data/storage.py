"""Storage: write to a temporary file, then rename; digests, keys and folder locks."""

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from apollo_data.errors import BusyError, DataError
from apollo_data.file_names import to_bytes

_CHUNK_BYTES = 1 << 20
PARTIAL_SUFFIX = ".partial"


@contextlib.contextmanager
def whole_file(final: Path) -> Iterator[Path]:
    """Yield a temporary path beside `final` that takes its name once the block has succeeded.

    The content is flushed to disk before the rename, so that a crash leaves either the
    old file, the new one or none, and never half of one. If the block raises, the
    temporary file is removed and `final` stays as it was. A link is followed: the file that it
    names is replaced, not the link.

    Raises
    ------
    DataError
        `final` is a folder, a device, a pipe or a socket. Renaming over a device as root would
        replace the device itself.
    """
    final = _plain_place(Path(final))
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{_beginning(final.name)}.", suffix=PARTIAL_SUFFIX, dir=final.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _give_default_mode(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def _plain_place(final: Path) -> Path:
    """Return where a file is really written; refuse to replace what is not a plain file."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(final.stat().st_mode):
            raise DataError(f"{final}: is not a plain file and is not replaced; name another file")
    return Path(os.path.realpath(final)) if final.is_symlink() else final


def _beginning(name: str) -> str:
    """Return the first 100 bytes of a name, so that temporary names fit every file system."""
    return os.fsencode(name)[:100].decode("utf-8", "ignore")


def _give_default_mode(path: Path) -> None:
    """Replace mkstemp's owner-only mode by the usual one."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def write_text(final: Path, text: str) -> None:
    r"""Write a UTF-8 text file whole or not at all.

    Bytes of file names that are not UTF-8 are written as escapes such as ``\udce9``, which JSON
    reads back as they were.
    """
    with whole_file(final) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def remove_partials(folder: Path, below: bool = True) -> int:
    """Delete partial files that killed writers left in `folder` (and below); lock it first."""
    pattern = f"**/.*{PARTIAL_SUFFIX}" if below else f".*{PARTIAL_SUFFIX}"
    left = list(folder.glob(pattern)) if folder.is_dir() else []
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def sha256_file(path: Path) -> str:
    """Return a file's SHA-256 as hexadecimal text, reading it in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as source:
        while block := source.read(_CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def size_and_time(file: Path) -> tuple[int, int]:
    """Return a file's size in bytes and its modification time in ns; -1 and -1 if it is missing."""
    try:
        state = file.stat()
    except OSError:
        return -1, -1
    return state.st_size, state.st_mtime_ns


def key_of(*parts: Any) -> str:
    """Hash plain data (settings, rows, other keys) into a key that identifies finished work.

    Examples
    --------
    >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(to_bytes(text)).hexdigest()


@contextlib.contextmanager
def folder_lock(folder: Path, shared: bool = False) -> Iterator[None]:
    """Lock `folder` for this process; raise a `BusyError` that names the holder if it is taken.

    Several processes can hold a shared lock, but not together with an exclusive one. The lock
    belongs to the operating system and ends with its holder, so a killed process leaves no
    stale lock; the empty file `.lock` stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock_file = folder / ".lock"
    with lock_file.open("a+") as file:
        _lock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, folder)
        since = datetime.now(timezone.utc).isoformat(timespec="seconds")
        lock_file.write_text(f"process {os.getpid()} on {socket.gethostname()} since {since}")
        try:
            yield
        finally:
            # Other processes may share the lock: they keep the text.
            with contextlib.suppress(BusyError):
                _lock(file, fcntl.LOCK_EX, folder)
                lock_file.write_text("")


def _lock(file: IO[str], kind: int, folder: Path) -> None:
    """Take an open file's lock, or change its kind, without waiting."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _owner(Path(file.name))
        raise BusyError(f"{folder}: {owner}; wait for it or stop it") from None
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be locked ({error.strerror}); have it on a file system with flock "
            "(Lustre: mounted with -o flock)"
        ) from None


def _owner(lock_file: Path) -> str:
    with contextlib.suppress(OSError):
        if owner := lock_file.read_text():
            return f"in use by {owner}"
    return "in use by another process"
