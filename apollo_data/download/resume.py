"""The part of a remote file that has arrived, and what it is a part of.

It lies in `.<name>.part` beside the file's final name. `.<name>.part.json` keeps what the
server told about the whole file, so that a changed file is never glued to an old beginning.
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
class Offer:
    """What a server says about a whole file: its size, and signs by which a change shows."""

    url: str = ""
    total: int | None = None
    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of(cls, url: str, status: int, headers: Mapping[str, str]) -> "Offer":
        """Read a response's head; the total of a 206 or 416 stands in Content-Range."""
        if status == 200:
            total = re.fullmatch(r"(\d+)", headers.get("Content-Length", ""))
        else:
            total = re.fullmatch(r"bytes .*/(\d+)", headers.get("Content-Range", ""))
        return cls(
            url, int(total[1]) if total else None, headers.get("ETag"), headers.get("Last-Modified")
        )

    def continues(self, begun: "Offer", trusted: bool) -> bool:
        """Tell whether this is the file that was begun.

        Parameters
        ----------
        begun
            The offer that the bytes on disk belong to.
        trusted
            Whether something else vouches for it: a checksum at the end, or the server,
            asked for a range of the very same file. Then it is enough that nothing differs.
        """
        if self.total is None or begun.total not in (None, self.total):
            return False
        if self.url != begun.url:
            return trusted
        pairs = [(self.etag, begun.etag), (self.last_modified, begun.last_modified)]
        known = [(new, old) for new, old in pairs if new and old]
        return all(new == old for new, old in known) and (bool(known) or trusted)


class Part:
    """The bytes that are in, their running digest, and the offer that they belong to.

    Attributes
    ----------
    bytes, longest
        How many are in, and how many were at most since this run began.
    offer
        What they are a part of; empty at the beginning.
    """

    def __init__(self, final: Path, sha256: str | None) -> None:
        self.final = final
        self.sha256 = sha256
        self.path = final.with_name(f".{final.name}.part")
        self._record = final.with_name(f".{final.name}.part.json")
        self._digest: Digest = hashlib.sha256()
        self._ended = False
        self.offer = self._recorded_offer()
        if not self.offer.url:
            self.path.unlink(missing_ok=True)
        self.bytes = self.path.stat().st_size if self.path.exists() else 0
        self.longest = self.bytes

    @property
    def complete(self) -> bool:
        """Whether all is in; if the server names no size, a clean end tells."""
        return self._ended or (self.offer.total is not None and self.bytes == self.offer.total)

    def _recorded_offer(self) -> Offer:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Offer(**json.loads(self._record.read_text(encoding="utf-8")))
        return Offer()

    def hash_earlier(self, advance: Callable[[int], None]) -> None:
        """Bring the digest up to date with what an earlier run fetched."""
        if self.bytes:
            hash_into(self._digest, self.path, advance)

    def range_headers(self, url: str) -> dict[str, str]:
        """Return the request headers that ask for the rest, if it is the rest of the same file."""
        if not self.bytes:
            return {}
        headers = {"Range": f"bytes={self.bytes}-"}
        etag = self.offer.etag
        # RFC 9110, 13.1.5: a weak ETag must not be used here.
        validator = etag if etag and not etag.startswith("W/") else self.offer.last_modified
        if validator and self.offer.url == url:
            headers["If-Range"] = validator
        return headers

    def belongs_to(self, offer: Offer) -> None:
        """Remember what the bytes are a part of, on disk, before they are written."""
        if offer != self.offer:
            write_text(self._record, json.dumps(dataclasses.asdict(offer)))
            self.offer = offer

    def restart(self) -> None:
        """Forget what is in."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
        self._digest = hashlib.sha256()
        self._ended = False
        self.bytes = 0
        self.offer = Offer()

    @contextlib.contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """Yield the function that adds a block; each is the system's before the next comes."""
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
        """Take what is in for the whole, as a clean end of a file of unknown size says."""
        self._ended = self.offer.total is None or self.bytes == self.offer.total

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
