"""Large archives over bad links: fetched, gone on with, verified, then unpacked."""

import hashlib
import os
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from apollo_data.console import Console
from apollo_data.disk_space import readable_bytes, require_free_space
from apollo_data.download.resume import PartialFile, RemoteFile, hash_into
from apollo_data.download.unpack import byte_progress, is_unpacked, unpack
from apollo_data.errors import DataError
from apollo_data.settings.facts import SourceFacts
from apollo_data.storage import folder_lock

_LONGEST_RETRY_AFTER_SECONDS = 600.0
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
# A server's file may differ by this share from a size that is only roughly known.
_SIZE_TOLERANCE = 0.25
# An archive is refused if it states more than this many times its known unpacked size.
_UNPACKED_TOLERANCE = 4


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to retry; the delay doubles from the first to the longest.

    Attributes
    ----------
    attempts
        Failures in a row, each without a new byte, after which the download ends.
    first_delay_seconds, longest_delay_seconds
        Wait after the first failure, and the longest wait.
    timeout_seconds
        Time without data after which a connection counts as lost.
    """

    attempts: int = 10
    first_delay_seconds: float = 1.0
    longest_delay_seconds: float = 60.0
    timeout_seconds: float = 60.0

    def delay_seconds(self, failures: int) -> float:
        """Return the wait after this many failures in a row."""
        doubled = self.first_delay_seconds * 2.0 ** max(0, failures - 1)
        return min(doubled, self.longest_delay_seconds)


def download_source(
    facts: SourceFacts,
    out: Path,
    console: Console,
    *,
    mirror: str | None = None,
    archive: Path | None = None,
    keep_archive: bool = True,
    retries: RetryPolicy = RetryPolicy(),
) -> Path:
    """Download, verify and unpack what is missing of a data set; return its folder.

    Parameters
    ----------
    facts
        Facts about the data set.
    out
        Folder with one folder per data set.
    console, retries
        Receives progress and notes; how often to retry.
    mirror
        URL of the same archive, instead of the official one.
    archive
        The archive, if it is on disk already. It is verified and never deleted.
    keep_archive
        Whether to keep a downloaded archive after unpacking.

    Raises
    ------
    DataError
        The archive cannot be downloaded, is the wrong one or unsafe, or the disk is full.
    BusyError
        Another process downloads the same data set to the same place.
    """
    folder = out / facts.name
    own = folder / facts.archive
    with folder_lock(folder):
        if is_unpacked(folder, facts.sha256):
            console.note(f"{folder}: {facts.title} is complete")
        else:
            if archive is None:
                packed = fetch(
                    mirror or facts.address,
                    own,
                    facts.sha256,
                    console,
                    approximate_bytes=facts.approximate_bytes,
                    reserve_bytes=facts.approximate_unpacked_bytes,
                    retries=retries,
                )
            else:
                verify_file(archive, facts.sha256, console)
                packed = archive
            most = _UNPACKED_TOLERANCE * facts.approximate_unpacked_bytes
            unpack(packed, folder, console, sha256=facts.sha256, max_bytes=most)
        # A partial download is not needed once the archive was given as a file.
        PartialFile(own, None).restart()
        given = archive is not None and own.exists() and archive.samefile(own)
        if not (keep_archive or given):
            own.unlink(missing_ok=True)
    return folder


def verify_file(path: Path, sha256: str, console: Console) -> None:
    """Raise `DataError` if a file has another SHA-256."""
    digest = hashlib.sha256()
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is no plain file; name the archive")
    try:
        title = f"verifying {path.name}"
        with byte_progress(console, title, path.stat().st_size) as advance:
            hash_into(digest, path, advance)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name the archive") from None
    if digest.hexdigest() != sha256:
        raise DataError(
            f"{path}: SHA-256 {sha256} was expected, {digest.hexdigest()} was found; "
            "it is another file or damaged, delete it or name another"
        )


def fetch(
    url: str,
    final: Path,
    sha256: str | None,
    console: Console,
    *,
    approximate_bytes: int | None = None,
    reserve_bytes: int = 0,
    retries: RetryPolicy = RetryPolicy(),
) -> Path:
    """Download a file to `final`, resuming an earlier run, and return that path.

    The caller holds the lock of the folder.

    Parameters
    ----------
    url
        HTTP or HTTPS address. Redirects are followed, but not from HTTPS to HTTP.
    final
        Final path of the complete, verified file. A file that is there is verified.
    sha256
        Its checksum. Without one, only the size that the server states is checked.
    console, retries
        Receives progress and notes; how often to retry.
    approximate_bytes, reserve_bytes
        Its rough size (a file far from it is refused), and the space needed beside it.

    Raises
    ------
    DataError
        The server refuses or all retries failed (the partial file stays), the checksum is
        wrong (the partial file is deleted), or the disk is too small.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        if sha256 is not None:
            verify_file(final, sha256, console)
        return final
    part = PartialFile(final, sha256)
    request = _Request(url, part, console, approximate_bytes, reserve_bytes)
    request.check_room(part.remote.total)
    if part.bytes and sha256 is not None:
        title = f"reading the downloaded part of {final.name}"
        with byte_progress(console, title, part.bytes) as advance:
            part.hash_earlier(advance)
    request.receive_all(retries)
    part.finish(url)
    return final


class _LostError(Exception):
    """The connection or the server failed, and a retry may help."""

    def __init__(self, why: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class _Request:
    """A download: requests until nothing is missing."""

    url: str
    part: PartialFile
    console: Console
    approximate_bytes: int | None
    reserve_bytes: int

    def check_room(self, total: int | None) -> None:
        """Raise `DataError` if the missing bytes and the reserve do not fit on the disk."""
        missing = max(0, (total or self.approximate_bytes or 0) - self.part.bytes)
        purpose = f"{self.part.final.name} with what it unpacks to"
        require_free_space({self.part.final.parent: missing + self.reserve_bytes}, purpose)

    def receive_all(self, retries: RetryPolicy) -> None:
        """Request until the file is complete; raise `DataError` when no retry is left."""
        failures = 0
        with _client(self.url, retries) as client:
            while not self.part.complete:
                reached = self.part.longest
                try:
                    self._ask(client)
                except _LostError as lost:
                    failures = 0 if self.part.longest > reached else failures + 1
                    state = f"{self.url}: {lost} after {readable_bytes(self.part.bytes)}"
                    if failures >= retries.attempts:
                        raise DataError(
                            f"{state}, {failures} times in a row; the downloaded part is kept, "
                            "run again to resume or name a mirror"
                        ) from None
                    delay = max(retries.delay_seconds(failures), lost.retry_after_seconds)
                    self.console.note(f"{state}; trying again in {delay:.0f} s")
                    time.sleep(delay)

    def _ask(self, client: httpx.Client) -> None:
        """Append what the server sends; raise `_LostError` if it ends too early."""
        headers = {"Accept-Encoding": "identity", **self.part.range_headers(self.url)}
        try:
            with client.stream("GET", self.url, headers=headers) as response:
                if self._is_complete(response):
                    self.part.end()
                    return
                self._refuse_unusable(response)
                trusted = self.part.sha256 is not None
                if response.status_code == 206:
                    trusted |= "If-Range" in headers
                self._receive(response, self._join(response, trusted))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise DataError(f"{self.url}: {error}; give an http or https address") from None
        except httpx.TransportError as error:
            if _is_certificate_error(error):
                raise DataError(f"{self.url}: this server cannot be trusted ({error})") from None
            raise _LostError(str(error) or type(error).__name__) from None

    def _is_complete(self, response: httpx.Response) -> bool:
        """Return whether nothing is missing; raise if the server failed or refused."""
        part, status = self.part, response.status_code
        if status == 416 and part.bytes:
            if RemoteFile.of(self.url, status, response.headers).total == part.bytes:
                return True
            part.restart()
            raise _LostError("the file is shorter than its downloaded part; starting again")
        if status in _TRANSIENT_STATUSES or status >= 500:
            raise _LostError(f"HTTP status {status}", _retry_after_seconds(response))
        if status not in (200, 206):
            raise DataError(
                f"{self.url}: HTTP status {status} {response.reason_phrase}, the archive was "
                "expected; check the address or name a mirror"
            )
        return False

    def _refuse_unusable(self, response: httpx.Response) -> None:
        """Raise if the body is not what was requested, or does not fit on the disk."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise DataError(
                f"{self.url}: the server sends the file encoded as {encoding!r}, plain bytes "
                "were asked for; name a mirror"
            )
        if response.status_code == 206:
            start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if start is None or int(start[1]) != self.part.bytes:
                raise _LostError("another range came than was asked for")
        total = RemoteFile.of(self.url, response.status_code, response.headers).total
        expected = self.approximate_bytes
        if total is not None and expected and abs(total / expected - 1) > _SIZE_TOLERANCE:
            raise DataError(
                f"{self.url}: offers {readable_bytes(total)}, about {readable_bytes(expected)} "
                "were expected; check the address or name a mirror"
            )
        self.check_room(total)

    def _join(self, response: httpx.Response, trusted: bool) -> int:
        """Match a body with the partial file; return how many of its bytes to skip."""
        part, status = self.part, response.status_code
        remote = RemoteFile.of(self.url, status, response.headers)
        if part.bytes and not remote.is_same(part.remote, trusted):
            self.console.note(f"{self.url}: the file has changed; starting again")
            part.restart()
            if status == 206:
                raise _LostError("only the end of the changed file came")
        if not part.bytes:
            part.record(remote)
            return 0
        if status == 206:
            if remote.url != part.remote.url or part.remote.total is None:
                part.record(remote)
            return 0
        # The bytes on disk stay, in case this connection is lost, too.
        self.console.note(
            f"{self.url}: this server cannot resume; "
            f"skipping the {readable_bytes(part.bytes)} that were downloaded before"
        )
        return part.bytes

    def _receive(self, response: httpx.Response, skipping: int) -> None:
        part = self.part
        missing = max(0, (part.remote.total or self.approximate_bytes or 0) - part.bytes)
        title = f"fetching {part.final.name}"
        with byte_progress(self.console, title, missing) as advance, part.appending() as append:
            # Blocks of any size: bytes buffered for a larger one would be lost with the connection.
            for block in response.iter_raw():
                fresh = block[skipping:]
                skipping -= len(block) - len(fresh)
                if fresh:
                    append(fresh)
                    advance(len(fresh))
        part.end()
        if not part.complete:
            raise _LostError("the connection ended early")


def _client(url: str, retries: RetryPolicy) -> httpx.Client:
    begun_safely = url.lower().startswith("https:")

    def refuse_downgrade(request: httpx.Request) -> None:
        if begun_safely and request.url.scheme != "https":
            raise DataError(f"{url}: redirects to {request.url}, which is not HTTPS; refused")

    try:
        return httpx.Client(
            timeout=retries.timeout_seconds,
            follow_redirects=True,
            event_hooks={"request": [refuse_downgrade]},
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        named = [f"{name}={value}" for name, value in os.environ.items() if _is_proxy(name)]
        raise DataError(
            f"{', '.join(named) or 'proxy'}: this proxy cannot be used ({error}); "
            "write it as http://HOST:PORT or socks5://HOST:PORT"
        ) from None


def _is_proxy(name: str) -> bool:
    return name.lower() in ("all_proxy", "http_proxy", "https_proxy", "no_proxy")


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _retry_after_seconds(response: httpx.Response) -> float:
    """Return how long the server asks to wait; a date is ignored."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_RETRY_AFTER_SECONDS) if text.isdecimal() else 0.0
