"""The resume state of a download: the partial file and the remote file it belongs to.

The bytes are in `.<name>.part` beside the final name. `.<name>.part.json` holds what the
server stated about the whole file, so that the rest of a changed file is never appended.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from apollo_data.errors import DataError
from apollo_data.storage import write_text

_BLOCK_BYTES = 1 << 20


class Digest(Protocol):
    """A running hash, as `hashlib` makes them."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Return the hash of all bytes so far in hexadecimal."""


def hash_into(digest: Digest, path: Path, advance: Callable[[int], None]) -> int:
    """Add a file's bytes to a digest in blocks; return how many they are."""
    count = 0
    with path.open("rb") as source:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            advance(len(block))
            count += len(block)
    return count


@dataclass(frozen=True)
class RemoteFile:
    """What a server states about a whole file: its size, and what identifies its version."""

    url: str = ""
    total: int | None = None
    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of(cls, url: str, status: int, headers: Mapping[str, str]) -> "RemoteFile":
        """Read a response's headers; of a 206 or 416 the total is in Content-Range."""
        if status == 200:
            total = re.fullmatch(r"(\d+)", headers.get("Content-Length", ""))
        else:
            total = re.fullmatch(r"bytes .*/(\d+)", headers.get("Content-Range", ""))
        return cls(
            url, int(total[1]) if total else None, headers.get("ETag"), headers.get("Last-Modified")
        )

    def is_same(self, begun: "RemoteFile", trusted: bool) -> bool:
        """Return whether this is the file of which a part was downloaded.

        Parameters
        ----------
        begun
            The remote file that the bytes on disk belong to.
        trusted
            Whether there is another guarantee: a checksum at the end, or If-Range. Then it
            is enough that nothing differs.
        """
        if self.total is None or begun.total not in (None, self.total):
            return False
        if self.url != begun.url:
            return trusted
        pairs = [(self.etag, begun.etag), (self.last_modified, begun.last_modified)]
        known = [(new, old) for new, old in pairs if new and old]
        return all(new == old for new, old in known) and (bool(known) or trusted)


class PartialFile:
    """The downloaded bytes, their running digest, and the remote file they belong to.

    Attributes
    ----------
    bytes, longest
        How many there are, and the most there were since this run began.
    remote
        The remote file; empty at the beginning.
    """

    def __init__(self, final: Path, sha256: str | None) -> None:
        self.final = final
        self.sha256 = sha256
        self.path = final.with_name(f".{final.name}.part")
        self._record = final.with_name(f".{final.name}.part.json")
        self._digest: Digest = hashlib.sha256()
        self._ended = False
        self.remote = self._recorded()
        if not self.remote.url:
            self.path.unlink(missing_ok=True)
        self.bytes = self.path.stat().st_size if self.path.exists() else 0
        self.longest = self.bytes

    @property
    def complete(self) -> bool:
        """Whether nothing is missing; without a stated size, whether the response ended cleanly."""
        return self._ended or (self.remote.total is not None and self.bytes == self.remote.total)

    def _recorded(self) -> RemoteFile:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return RemoteFile(**json.loads(self._record.read_text(encoding="utf-8")))
        return RemoteFile()

    def hash_earlier(self, advance: Callable[[int], None]) -> None:
        """Add the bytes of an earlier run to the digest."""
        if self.bytes:
            hash_into(self._digest, self.path, advance)

    def range_headers(self, url: str) -> dict[str, str]:
        """Return the request headers for the missing range, of the same file only."""
        if not self.bytes:
            return {}
        headers = {"Range": f"bytes={self.bytes}-"}
        etag = self.remote.etag
        # RFC 9110, 13.1.5: a weak ETag must not be used here.
        validator = etag if etag and not etag.startswith("W/") else self.remote.last_modified
        if validator and self.remote.url == url:
            headers["If-Range"] = validator
        return headers

    def record(self, remote: RemoteFile) -> None:
        """Write down the remote file before its bytes are written."""
        if remote != self.remote:
            write_text(self._record, json.dumps(dataclasses.asdict(remote)))
            self.remote = remote

    def restart(self) -> None:
        """Delete the partial file and begin again."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
        self._digest = hashlib.sha256()
        self._ended = False
        self.bytes = 0
        self.remote = RemoteFile()

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """Yield a function that appends a block, unbuffered."""
        with self.path.open("ab", buffering=0) as file:

            def append(block: bytes) -> None:
                rest = memoryview(block)
                try:
                    while rest:
                        rest = rest[file.write(rest) :]
                except OSError as error:
                    raise DataError(
                        f"{self.path}: cannot be written ({error.strerror}); run again to go on"
                    ) from None
                self._digest.update(block)
                self.bytes += len(block)
                self.longest = max(self.longest, self.bytes)

            yield append

    def end(self) -> None:
        """Record a clean end of the response; it completes a file of unknown size."""
        self._ended = self.remote.total is None or self.bytes == self.remote.total

    def finish(self, url: str) -> None:
        """Give the file its final name if its checksum is right; delete it if it is not.

        Raises
        ------
        DataError
            It has another checksum.
        """
        found = self._digest.hexdigest()
        if self.sha256 is not None and found != self.sha256:
            self.restart()
            raise DataError(
                f"{url}: SHA-256 {self.sha256} was expected, {found} was found; what had "
                "arrived was deleted, run again or name another mirror"
            )
        with self.path.open("ab") as written:
            os.fsync(written.fileno())
        os.replace(self.path, self.final)
        self._record.unlink(missing_ok=True)
