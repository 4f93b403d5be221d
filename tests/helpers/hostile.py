"""Hostile arguments for every command: paths and values that users do give, and what must follow.

A sweep test describes a program's commands with their slots (`Command`). Each hostile thing takes
one slot, the others keep good values. Never a traceback, never a hang, never status 0 without
the work done. `run` runs a command in this process through the same error edge as the programs.
"""

import contextlib
import os
import resource
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import pytest
import typer

from apollo_data.console import run_app

LONGEST_SECONDS = 60
_MOST_MEMORY_BYTES = 6 * 10**9  # a command that reads a device without end stops there
_LONGEST_LINE = 1200
NOT_UTF8 = os.fsdecode(b"caf\xe9 \xff")
LONG_NAME = "n" * 300
"""No file system takes it."""
Make = Callable[[Path], str]


class Hung(BaseException):
    """A command waits for ever; no error edge may take this for an error of its own."""


def _file(name: str, content: bytes) -> Make:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return make


def _folder(name: str) -> Make:
    def make(folder: Path) -> str:
        (folder / name).mkdir()
        return str(folder / name)

    return make


def _fifo(folder: Path) -> str:
    os.mkfifo(folder / "pipe.wav")
    return str(folder / "pipe.wav")


def _link(name: str, target: str) -> Make:
    def make(folder: Path) -> str:
        (folder / name).symlink_to(target)
        return str(folder / name)

    return make


def _null_device(folder: Path) -> str:
    return str(folder / "null") if _made_device(folder / "null", 3) else "/dev/null"


def _full_device(folder: Path) -> str:
    """A device that is always full: for root one of our own, never the system's /dev/full.

    A command that fails this test may replace the device by a file.
    """
    if os.geteuid() != 0:
        return "/dev/full"
    if not _made_device(folder / "full", 7):
        os.mkfifo(folder / "full")
    return str(folder / "full")


def _made_device(path: Path, minor: int) -> bool:
    """Make a memory device (null is 3, full is 7) as root; tell whether that was possible."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
        return path.open("rb").read(0) == b""
    except OSError:  # not root, or a place or container without devices
        path.unlink(missing_ok=True)
        return False


def _below_a_file(folder: Path) -> str:
    (folder / "file").write_bytes(b"x")
    return str(folder / "file" / "x.wav")


def _odd_name_of_text(folder: Path) -> str:
    path = folder / f"{NOT_UTF8}.wav"
    path.write_bytes(b"no sound")
    return str(path)


# None of these is a file or folder that any command can read.
BAD_INPUTS: dict[str, Make] = {
    "missing": lambda folder: str(folder / "missing.wav"),
    "empty argument": lambda _folder: "",
    "empty file": _file("empty.wav", b""),
    "empty folder": _folder("empty.wav"),
    "text": _file("text.wav", b"not what was expected\n" * 9),
    "binary": _file("binary.wav", bytes(range(256)) * 40),
    "zip": _file("archive.wav", b"PK\x03\x04" + bytes(400)),
    "pickle": _file("pickle.wav", b"\x80\x04cposix\nsystem\n."),
    "not UTF-8": _odd_name_of_text,
    "newline": _file("two\nlines.wav", b"no sound"),
    "300 bytes": lambda folder: str(folder / f"{LONG_NAME}.wav"),
    "below a file": _below_a_file,
    "FIFO": _fifo,
    "null device": _null_device,
    "full device": _full_device,
    "unreadable": lambda _folder: "/proc/self/mem",
    "dangling link": _link("dangling.wav", "nowhere"),
    "link to itself": _link("loop.wav", "loop.wav"),
}
# Nothing can be written there, neither as a file nor as a folder.
BAD_OUTPUTS: dict[str, Make] = {
    "empty argument": lambda _folder: "",
    "300 bytes": lambda folder: str(folder / LONG_NAME),
    "below a file": _below_a_file,
    "FIFO": _fifo,
    "full device": _full_device,
    "link to itself": _link("loop", "loop"),
    "dangling link": _link("dangling", "/proc/nowhere/x"),
    "no such system folder": lambda _folder: "/proc/apollo/out",
}
# Unusual names that must work.
ODD_NAMES: dict[str, str] = {
    "not UTF-8": NOT_UTF8,
    "newline": "two\nlines",
    "200 bytes": "ж" * 100,
    "spaces and signs": " -n %d [b]x[b] 'q' $HOME ",
    "decomposed": "e\u0301",
}
BAD_NUMBERS = ("nan", "inf", "-1", "-inf", "1e999", "x", "")
BAD_DEVICES = ("nonsense", "cuda:99", "meta", "")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: object
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    """A command line with slots such as ``{checkpoint}``, and what they hold when all is well.

    Attributes
    ----------
    words
        Of the command line.
    inputs, outputs, numbers, devices
        Names of the slots that take an existing file or folder to read, an output, a number,
        or a device.
    values
        A good value for every slot.
    """

    words: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)

    def line(self, slot: str = "", value: str = "") -> list[str]:
        """Return the words with one slot replaced."""
        values = {**self.values, slot: value}
        return [word.format(**values) if "{" in word else word for word in self.words]


def hostile_cases(command: Command) -> Iterator[tuple[str, str, Make]]:
    """Yield each slot of a command with each hostile thing for it: (slot, what, make)."""
    for slots, table in (
        (command.inputs, BAD_INPUTS),
        (command.outputs, BAD_OUTPUTS),
        (command.numbers, {text: _constant(text) for text in BAD_NUMBERS}),
        (command.devices, {text: _constant(text) for text in BAD_DEVICES}),
    ):
        for slot in slots:
            for what, make in table.items():
                if what != "unreadable" or sys.platform == "linux":
                    yield slot, what, make


def _constant(text: str) -> Make:
    return lambda _folder: text


def run(
    app: typer.Typer,
    words: Sequence[str],
    capture: pytest.CaptureFixture[str],
    seconds: int = LONGEST_SECONDS,
) -> Ended:
    """Run a command in this process through the programs' error edge."""
    capture.readouterr()
    status: object = "none"
    try:
        with _at_most(seconds):
            run_app(app, words)
    except SystemExit as end:
        status = end.code
    except Hung:
        status = "none: it hangs"
    out, err = capture.readouterr()
    return Ended(status, out, err)


def what_is_wrong(ended: Ended) -> str:
    """Return why this is not how a command refuses something; nothing if it is.

    Status 2 is bad usage, which typer explains in some lines. Status 1 comes with one line that
    says what is wrong: ``error: ...``, or ``failed: ...`` for one file of many.
    """
    told = ended.err + ended.out
    if ended.status not in (1, 2):
        return f"status {ended.status}"
    if "Traceback" in told or "not expected here" in told:
        return "an error that nobody expected"
    if not told.strip():
        return "no word"
    if ended.status == 2:
        return ""
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    failures = [line for line in ended.out.splitlines() if line.startswith("failed: ")]
    if len(errors) + len(failures) != 1:
        return f"{len(errors)} errors and {len(failures)} failures"
    return "too many words" if max(map(len, told.splitlines())) > _LONGEST_LINE else ""


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def hung(_number: int, _frame: FrameType | None) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, hung)
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY_BYTES, limits[1]))
    signal.alarm(seconds)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fresh(folder: Path) -> Path:
    """Return the folder, emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
