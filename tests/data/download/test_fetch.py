import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from apollo_data.cli import main
from apollo_data.console import Console
from apollo_data.download import fetch as fetching
from apollo_data.download.fetch import RetryPolicy, download_source, fetch
from apollo_data.download.unpack import is_unpacked
from apollo_data.errors import BusyError, DataError
from apollo_data.settings import facts as committed
from apollo_data.settings.facts import SourceFacts
from apollo_data.storage import folder_lock

QUIET = Console(quiet=True)
HASTY = RetryPolicy(attempts=4, first_delay_seconds=0.001, timeout_seconds=30.0)
FILES = {f"train/A - B/{stem}.wav": random.Random(stem).randbytes(900_000) for stem in "abc"}


def make_archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


ARCHIVE = make_archive()
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@dataclasses.dataclass
class Behaviour:
    """How the server treats its clients, and what they asked for."""

    content: bytes = ARCHIVE
    ranges: bool = True
    etag: str | None = '"one"'
    last_modified: str | None = None
    drop_after: int | None = None
    """Bytes of a body after which each connection is cut."""
    hold_at: int | None = None
    """Position in the file where the body stands still until `release` is set."""
    pause_seconds: float = 0.0
    """Rest after each 64 KiB."""
    statuses: list[int] = dataclasses.field(default_factory=list)
    """Answered first, one a request."""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    redirect: str | None = None
    length: bool = True
    release: threading.Event = dataclasses.field(default_factory=threading.Event)
    asked: list[dict[str, str]] = dataclasses.field(default_factory=list)

    @property
    def starts(self) -> list[int]:
        """Where each request wanted to begin."""
        return [start_of(asked.get("Range")) for asked in self.asked]


def start_of(wanted: str | None) -> int:
    match = re.match(r"bytes=(\d+)-", wanted or "")
    return int(match[1]) if match else 0


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        does = self.behaviour
        does.asked.append(dict(self.headers))
        if does.statuses:
            self.send_response(does.statuses.pop(0))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif does.redirect and self.path != "/target":
            self.send_response(302)
            self.send_header("Location", does.redirect)
            self.end_headers()
        else:
            self.send_file(does)

    def send_file(self, does: Behaviour) -> None:
        total = len(does.content)
        start = start_of(self.headers.get("Range")) if does.ranges else 0
        condition = self.headers.get("If-Range")
        if condition is not None and condition not in (does.etag, does.last_modified):
            start = 0
        if start >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if does.length:
            self.send_header("Content-Length", str(total - start))
        for name, value in (("ETag", does.etag), ("Last-Modified", does.last_modified)):
            if value:
                self.send_header(name, value)
        for name, value in does.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.send_body(does, start)

    def send_body(self, does: Behaviour, start: int) -> None:
        stop = len(does.content)
        if does.drop_after is not None:
            stop = min(stop, start + does.drop_after)
        while start < stop:
            end = min(start + 65536, stop)
            if does.hold_at is not None and start < does.hold_at < end:
                end = does.hold_at
            if start == does.hold_at and not does.release.is_set():
                does.release.wait(60)
                return
            self.wfile.write(does.content[start:end])
            start = end
            time.sleep(does.pause_seconds)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # A held connection must not hold up the end of a test.
    block_on_close = False

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        super().__init__(("127.0.0.1", 0), type("Bound", (Handler,), {"behaviour": behaviour}))
        self.url = f"http://127.0.0.1:{self.server_port}/a.zip"


@contextlib.contextmanager
def serving(**behaviour: object) -> Iterator[Server]:
    with Server(Behaviour(**behaviour)) as server:  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.behaviour.release.set()
            server.shutdown()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def facts(address: str = "http://127.0.0.1:9/", **changes: object) -> SourceFacts:
    values = {
        "name": "little",
        "title": "Little",
        "homepage": "https://example.org",
        "address": address,
        "archive": "little.zip",
        "sha256": SHA256,
        "approximate_bytes": len(ARCHIVE),
        "approximate_unpacked_bytes": len(ARCHIVE),
        "songs": 1,
        "hours": 0.1,
        "licence": "CC BY 4.0",
        "licence_address": "https://example.org/licence",
        "terms": "Say whose it is.",
    }
    return SourceFacts(**(values | changes))  # type: ignore[arg-type]


def get(server: Server, folder: Path, sha256: str | None = SHA256, **more: object) -> Path:
    options = {"retries": HASTY, **more}
    return fetch(server.url, folder / "a.zip", sha256, QUIET, **options)  # type: ignore[arg-type]


def leave_part(folder: Path, server: Server, count: int) -> None:
    """Have a first run end after so many bytes, as one does whose link is dead."""
    does = server.behaviour
    whole, does.drop_after = does.drop_after, count
    does.statuses = []
    with contextlib.suppress(DataError):
        get(server, folder, retries=RetryPolicy(attempts=0, first_delay_seconds=0.0))
    does.drop_after = whole
    does.asked.clear()
    assert (folder / ".a.zip.part").stat().st_size == count


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_right_bytes_arrive_and_nothing_else_is_left(tmp_path: Path) -> None:
    with serving() as server:
        final = get(server, tmp_path / "new")
    assert final.read_bytes() == ARCHIVE
    assert names(tmp_path / "new") == {"a.zip"}
    assert server.behaviour.asked[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("length", [True, False])
def test_a_server_without_range_and_without_length_will_do(tmp_path: Path, length: bool) -> None:
    with serving(ranges=False, length=length) as server:
        assert get(server, tmp_path).read_bytes() == ARCHIVE


def test_a_connection_that_drops_again_and_again_is_gone_on_with(tmp_path: Path) -> None:
    # More drops than attempts: each brings something, so none of them is a failure.
    with serving(drop_after=200_000) as server:
        assert get(server, tmp_path).read_bytes() == ARCHIVE
    assert server.behaviour.starts == list(range(0, len(ARCHIVE), 200_000))
    assert {asked.get("If-Range") for asked in server.behaviour.asked[1:]} == {'"one"'}
    assert names(tmp_path) == {"a.zip"}


def test_dropping_without_range_ends_with_an_error_and_a_part(tmp_path: Path) -> None:
    with serving(drop_after=200_000, ranges=False) as server:
        with pytest.raises(DataError, match=r"after 0\.2 MB, 4 times in a row; .*run again"):
            get(server, tmp_path)
        assert names(tmp_path) == {".a.zip.part", ".a.zip.part.json"}
        assert len(server.behaviour.asked) == 5
        # Once the link is good the whole file comes, though it starts at the beginning.
        server.behaviour.drop_after = None
        assert get(server, tmp_path).read_bytes() == ARCHIVE


def test_a_drop_while_passing_over_loses_nothing(tmp_path: Path) -> None:
    with serving(ranges=False) as server:
        leave_part(tmp_path, server, 1_000_000)
        server.behaviour.drop_after = 300_000
        with pytest.raises(DataError, match=r"after 1\.0 MB"):
            get(server, tmp_path)
        assert (tmp_path / ".a.zip.part").read_bytes() == ARCHIVE[:1_000_000]


def test_a_slow_server_is_waited_for_and_a_silent_one_is_asked_again(tmp_path: Path) -> None:
    with serving(pause_seconds=0.01) as server:
        assert get(server, tmp_path).read_bytes() == ARCHIVE
    assert server.behaviour.starts == [0]
    (tmp_path / "a.zip").unlink()
    silence = RetryPolicy(attempts=50, first_delay_seconds=0.001, timeout_seconds=0.3)
    with serving(hold_at=1_000_000) as server:
        release = threading.Thread(target=release_later, args=(server.behaviour, 1_000_000))
        release.start()
        assert get(server, tmp_path, retries=silence).read_bytes() == ARCHIVE
        release.join()
    assert 1_000_000 in server.behaviour.starts


def release_later(does: Behaviour, start: int) -> None:
    """End the silence once a client has come back for what follows it."""
    deadline = time.monotonic() + 30
    while start not in does.starts and time.monotonic() < deadline:
        time.sleep(0.01)
    does.release.set()


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path) -> None:
    wrong = bytes([ARCHIVE[0] ^ 1]) + ARCHIVE[1:]
    with serving(content=wrong) as server:
        with pytest.raises(DataError, match=rf"{server.url}: SHA-256 {SHA256} was expected, ") as e:
            get(server, tmp_path)
        assert hashlib.sha256(wrong).hexdigest() in str(e.value)
        assert names(tmp_path) == set()
        server.behaviour.content = ARCHIVE
        assert get(server, tmp_path).read_bytes() == ARCHIVE


@pytest.mark.parametrize(
    "signs",
    [
        {"etag": '"one"'},
        {"etag": 'W/"weak"'},
        {"etag": None, "last_modified": "Tue, 01 Oct 2024 10:00:00 GMT"},
        {"etag": None},
    ],
)
def test_a_later_run_asks_for_the_rest_only(tmp_path: Path, signs: dict[str, str | None]) -> None:
    with serving(**signs) as server:
        leave_part(tmp_path, server, 500_000)
        assert get(server, tmp_path).read_bytes() == ARCHIVE
    assert server.behaviour.starts == [500_000]
    weak = signs["etag"] is None or signs["etag"].startswith("W/")
    expected = signs.get("last_modified") if weak else signs["etag"]
    assert server.behaviour.asked[0].get("If-Range") == expected


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("etag", ['"two"', 'W/"two"', None])
def test_a_changed_file_is_not_glued_to_an_old_part(
    tmp_path: Path, ranges: bool, etag: str | None
) -> None:
    with serving(content=bytes(3_000_000)) as server:
        leave_part(tmp_path, server, 500_000)
        does = server.behaviour
        does.content, does.etag, does.ranges = ARCHIVE, etag, ranges
        assert get(server, tmp_path).read_bytes() == ARCHIVE


def test_a_file_of_the_same_size_but_another_sign_is_another_file(tmp_path: Path) -> None:
    with serving(content=bytes(len(ARCHIVE)), ranges=False, etag='W/"one"') as server:
        leave_part(tmp_path, server, 500_000)
        server.behaviour.content, server.behaviour.etag = ARCHIVE, 'W/"two"'
        assert get(server, tmp_path, None).read_bytes() == ARCHIVE


def test_a_part_that_nothing_is_known_of_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ".a.zip.part").write_bytes(bytes(1000))
    with serving() as server:
        assert get(server, tmp_path).read_bytes() == ARCHIVE
    assert server.behaviour.starts == [0]
    with serving(etag=None) as server:
        leave_part(tmp_path / "two", server, 1000)
        # Without a checksum and without any sign, the same size is not enough.
        assert get(server, tmp_path / "two", None).read_bytes() == ARCHIVE


def test_a_mirror_goes_on_where_another_server_stopped(tmp_path: Path) -> None:
    with serving() as server:
        leave_part(tmp_path, server, 700_000)
    with serving(etag='"mirror"', drop_after=900_000) as mirror:
        assert get(mirror, tmp_path).read_bytes() == ARCHIVE
    assert mirror.behaviour.starts == [700_000, 1_600_000, 2_500_000]
    assert [asked.get("If-Range") for asked in mirror.behaviour.asked[:2]] == [None, '"mirror"']


def test_a_part_that_is_whole_needs_no_more_bytes(tmp_path: Path) -> None:
    with serving() as server:
        leave_part(tmp_path, server, len(ARCHIVE) - 1)
        with (tmp_path / ".a.zip.part").open("ab") as part:
            part.write(ARCHIVE[-1:])
        assert get(server, tmp_path).read_bytes() == ARCHIVE
    assert server.behaviour.asked == []


def test_a_416_says_that_all_is_in_or_that_nothing_fits(tmp_path: Path) -> None:
    with serving() as server:
        # Had the server not told the length, a first run could not know that it has everything.
        record = {"url": server.url, "total": None, "etag": '"one"', "last_modified": None}
        (tmp_path / ".a.zip.part.json").write_text(json.dumps(record))
        (tmp_path / ".a.zip.part").write_bytes(ARCHIVE)
        assert get(server, tmp_path).read_bytes() == ARCHIVE
        assert server.behaviour.starts == [len(ARCHIVE)]
        (tmp_path / "a.zip").unlink()
        (tmp_path / ".a.zip.part.json").write_text(json.dumps(record))
        (tmp_path / ".a.zip.part").write_bytes(ARCHIVE + b"too much")
        assert get(server, tmp_path).read_bytes() == ARCHIVE


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_passing_trouble_is_waited_out(tmp_path: Path, status: int) -> None:
    with serving(statuses=[status] * 3) as server:
        assert get(server, tmp_path).read_bytes() == ARCHIVE
    with serving(statuses=[status] * 9) as server:
        with pytest.raises(DataError, match=f"HTTP status {status} after 0 bytes, 4 times"):
            get(server, tmp_path / "other")
        assert len(server.behaviour.asked) == 4


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(tmp_path: Path, status: int) -> None:
    why = f"/a.zip: HTTP status {status} .*mirror"
    with serving(statuses=[status]) as server, pytest.raises(DataError, match=why):
        get(server, tmp_path)
    assert names(tmp_path) == set()


def test_a_dead_server_is_named(tmp_path: Path) -> None:
    with serving() as server:
        url = server.url
    with pytest.raises(DataError, match=f"^{url}: .*Connection refused after 0 bytes, 4 times"):
        fetch(url, tmp_path / "a.zip", SHA256, QUIET, retries=HASTY)


@pytest.mark.parametrize("url", ["ftp://example.org/a.zip", "musdb18hq.zip"])
def test_what_is_no_web_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="give an http or https address"):
        fetch(url, tmp_path / "a.zip", SHA256, QUIET, retries=HASTY)


def test_a_coded_body_is_refused(tmp_path: Path) -> None:
    coded = {"Content-Encoding": "gzip"}
    why = "encoded as 'gzip', plain bytes were asked for"
    with serving(headers=coded) as server, pytest.raises(DataError, match=why):
        get(server, tmp_path)


def test_a_page_in_place_of_the_archive_does_not_cost_the_part(tmp_path: Path) -> None:
    with serving() as server:
        leave_part(tmp_path, server, 500_000)
        server.behaviour.content, server.behaviour.ranges = b"<html>log in</html>", False
        with pytest.raises(DataError, match=r"offers 19 bytes, about 2\.7 MB were expected"):
            get(server, tmp_path, approximate_bytes=len(ARCHIVE))
        assert (tmp_path / ".a.zip.part").stat().st_size == 500_000


def test_redirects_are_followed_but_not_out_of_https(tmp_path: Path) -> None:
    with serving(redirect="/target") as server:
        leave_part(tmp_path, server, 500_000)
        assert get(server, tmp_path).read_bytes() == ARCHIVE
    with serving(redirect="/again") as server, pytest.raises(DataError, match="redirects"):
        get(server, tmp_path / "other")
    # No test has a certificate; the check stands in the client before any request is sent.
    (check,) = fetching._client("https://example.org/a", HASTY).event_hooks["request"]
    check(httpx.Request("GET", "https://elsewhere.org/a"))
    with pytest.raises(DataError, match=r"to http://elsewhere\.org/a, which is not HTTPS"):
        check(httpx.Request("GET", "http://elsewhere.org/a"))


def test_a_full_disk_is_told_before_any_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = type("Usage", (), {"free": 5_000_000})()
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: free)
    with serving() as server:
        with pytest.raises(DataError, match=r"needs 5\.4 MB, this disk has 5\.0 MB free; make"):
            download_source(facts(server.url), tmp_path, QUIET)
        assert server.behaviour.asked == []
        # What is in already takes no more room.
        leave_part(tmp_path, server, 1_000_000)
        assert get(server, tmp_path, reserve_bytes=3_200_000).read_bytes() == ARCHIVE


def test_a_proxy_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1080")
    with pytest.raises(DataError, match=r"ALL_PROXY=socks://127\.0\.0\.1:1080: this proxy cannot"):
        fetching._client("http://elsewhere.org/a", HASTY)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    fetching._client("http://elsewhere.org/a", HASTY).close()


def test_a_finished_archive_is_checked_and_not_fetched_again(tmp_path: Path) -> None:
    with serving() as server:
        get(server, tmp_path)
        get(server, tmp_path)
        assert len(server.behaviour.asked) == 1
        (tmp_path / "a.zip").write_bytes(b"other")
        with pytest.raises(DataError, match=r"a\.zip: SHA-256 .* was found; .*delete it"):
            get(server, tmp_path)


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.wav")
    }


def test_a_data_set_is_fetched_unpacked_and_then_known(tmp_path: Path) -> None:
    with serving() as server:
        folder = download_source(facts(server.url), tmp_path, QUIET, retries=HASTY)
        assert folder == tmp_path / "little"
        assert content_of(folder) == FILES
        assert (folder / "little.zip").read_bytes() == ARCHIVE
        download_source(facts(server.url), tmp_path, QUIET)
        assert len(server.behaviour.asked) == 1
        # The archive may go later; a finished data set does not need it.
        download_source(facts(server.url), tmp_path, QUIET, keep_archive=False)
        assert not (folder / "little.zip").exists()
        download_source(facts(server.url), tmp_path, QUIET)
        assert len(server.behaviour.asked) == 1
        (folder / "train/A - B/a.wav").unlink()
        download_source(facts(server.url), tmp_path, QUIET, keep_archive=False)
    assert content_of(folder) == FILES
    assert not (folder / "little.zip").exists()


def test_an_archive_on_disk_is_verified_and_stays(tmp_path: Path) -> None:
    own = tmp_path / "mine.zip"
    own.write_bytes(ARCHIVE)
    left = tmp_path / "little" / ".little.zip.part"
    left.parent.mkdir()
    left.write_bytes(b"begun")
    folder = download_source(facts(), tmp_path, QUIET, archive=own, keep_archive=False)
    assert content_of(folder) == FILES
    assert own.read_bytes() == ARCHIVE
    assert not left.exists()
    wrong = facts(sha256="0" * 64)
    with pytest.raises(DataError, match=r"mine\.zip: SHA-256 0000.* was expected"):
        download_source(wrong, tmp_path / "other", QUIET, archive=own)
    assert content_of(tmp_path / "other") == {}
    with pytest.raises(DataError, match=r"none\.zip: cannot be read \(No such file"):
        download_source(facts(), tmp_path / "other", QUIET, archive=tmp_path / "none.zip")
    inside = tmp_path / "third" / "little" / "little.zip"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(ARCHIVE)
    download_source(facts(), tmp_path / "third", QUIET, archive=inside, keep_archive=False)
    assert inside.exists()


def test_two_downloads_to_one_place_do_not_meet(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "little"), pytest.raises(BusyError, match="in use by process"):
        download_source(facts(), tmp_path, QUIET)


# A command in a process of its own, without the imports of all the others.
RUN = (
    "import json, sys; from pathlib import Path; import typer\n"
    "from apollo_data.console import Console, run_app\n"
    "from apollo_data.download.fetch import download_source\n"
    "from apollo_data.settings.facts import SourceFacts\n"
    "app = typer.Typer()\n"
    "@app.command()\n"
    "def download(facts: str, out: Path, keep: bool = True) -> None:\n"
    "    download_source(SourceFacts(**json.loads(facts)), out, Console(), keep_archive=keep)\n"
    "run_app(app)\n"
)


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_a_stopped_download_goes_on_where_it_was(tmp_path: Path, sent: int, status: int) -> None:
    with serving(hold_at=1_500_000) as server:
        values = json.dumps(dataclasses.asdict(facts(server.url)))
        command = [sys.executable, "-c", RUN, values, str(tmp_path)]
        part = tmp_path / "little" / ".little.zip.part"
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 60
            while not (part.exists() and part.stat().st_size == 1_500_000):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(sent)
            _, said = process.communicate(timeout=30)
        assert process.returncode == status
        if status == 130:
            assert said == b"interrupted; run the same command again to go on\n"
        assert not (tmp_path / "little" / "little.zip").exists()
        assert part.read_bytes() == ARCHIVE[:1_500_000]
        server.behaviour.release.set()
        command.append("--no-keep")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert server.behaviour.starts == [0, 1_500_000]
    assert content_of(tmp_path / "little") == FILES
    assert names(tmp_path / "little") == {".lock", ".unpacked.json", "train"}


def test_the_licence_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as server:
        served = facts(server.url)
        monkeypatch.setattr(committed, "source_facts", lambda _name: served)
        monkeypatch.setattr(
            sys, "argv", ["apollo-data", "download", "musdb18hq", "--out", str(tmp_path)]
        )
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        assert exit_status() == 1
        assert re.search(
            r"^error: Little: its licence \(CC BY 4.0, https://example.org/licence\) is not "
            "accepted yet; .*--accept-licence\n$",
            capsys.readouterr().err,
        )
        with terminal(monkeypatch, b"n\n"):
            assert exit_status() == 1
        shown = capsys.readouterr().err
        assert "Say whose it is." in shown
        assert "Little: its licence was not accepted; nothing was fetched" in shown
        assert list(tmp_path.iterdir()) == []
        with terminal(monkeypatch, b"y\n"):
            assert exit_status() == 0
        assert capsys.readouterr().out == f"{tmp_path / 'little'}\n"
        assert content_of(tmp_path / "little") == FILES
        with terminal(monkeypatch, b""):
            assert exit_status() == 0
        assert "Say whose it is." not in capsys.readouterr().err
        # Other terms are another question.
        served = facts(server.url, licence="CC BY 5.0")
        with terminal(monkeypatch, b"n\n"):
            assert exit_status() == 1


@contextlib.contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> Iterator[None]:
    """Make standard input a terminal at which somebody has typed an answer."""
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    with os.fdopen(theirs) as stdin, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        yield
    os.close(ours)


def test_the_command_takes_a_mirror_or_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(committed, "source_facts", lambda _name: facts())
    own = tmp_path / "mine.zip"
    own.write_bytes(ARCHIVE)
    with serving() as server:
        always = ["apollo-data", "download", "moisesdb", "--accept-licence", "--out"]
        monkeypatch.setattr(sys, "argv", [*always, str(tmp_path / "a"), "--mirror", server.url])
        assert exit_status() == 0
        monkeypatch.setattr(sys, "argv", [*always, str(tmp_path / "b"), "--archive", str(own)])
        assert exit_status() == 0
        assert "licence: CC BY 4.0" in capsys.readouterr().err
        both = ["--mirror", server.url, "--archive", str(own)]
        monkeypatch.setattr(sys, "argv", [*always, str(tmp_path / "c"), *both])
        assert exit_status() == 2
    for folder in ("a", "b"):
        assert is_unpacked(tmp_path / folder / "little", SHA256)
    monkeypatch.setattr(sys, "argv", ["apollo-data", "download", "nothing"])
    assert exit_status() == 2


def exit_status() -> object:
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code
