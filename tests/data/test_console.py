"""The edge of every command: one line for an error, an exit status, no traceback."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer

from apollo_data.console import Console, run_app
from apollo_data.errors import DataError


def ended(work: Callable[[], None], words: tuple[str, ...] = (), **options: object) -> int:
    """Run a command that does `work`, and return its exit status."""
    app = typer.Typer()
    app.command()(work)
    with pytest.raises(SystemExit) as end:
        run_app(app, words, **options)
    return end.value.code


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("a.wav: is\nno file"), r"error: a.wav: is\nno file"),
        (
            FileNotFoundError(errno.ENOENT, "No such file", b"caf\xe9"),
            r"error: caf\xe9: No such file",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "make room on this disk"),
        (OSError("Can't open\n  the  file"), "error: Can't open the file"),
        (ValueError("a\nb"), "error: ValueError: a b (not expected here; set APOLLO_TRACEBACK=1"),
        (KeyError("x" * 9999), "..."),
        (MemoryError(), "error: there is not enough memory"),
        (RecursionError("too deep"), "error: RecursionError: too deep"),
    ],
)
def test_every_error_is_one_line(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(raising(error)) == 1
    told = capsys.readouterr().err
    assert line in told
    assert len(told.splitlines()) == 1
    assert len(told) < 800


def test_the_traceback_is_shown_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APOLLO_TRACEBACK", "1")
    assert ended(raising(ValueError("odd"))) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert any("raise error" in line for line in lines)
    assert lines[-1].startswith("error: ValueError: odd")


@pytest.mark.parametrize(
    ("resumable", "line"),
    [
        (None, "interrupted; run the same command again to go on\n"),
        (lambda words: bool(words), "interrupted\n"),
    ],
)
def test_ctrl_c_says_to_run_again_where_that_goes_on(
    resumable: Callable[[Sequence[str]], bool] | None, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(raising(KeyboardInterrupt()), resumable=resumable) == 130
    assert capsys.readouterr().err == line


def test_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(lambda: None) == 0
    assert ended(raising(typer.Exit(1))) == 1
    assert ended(lambda: None, ("--nonsense",)) == 2
    assert ended(lambda: None, ("",)) == 2
    assert "an argument is empty" in capsys.readouterr().err
    assert ended(raising(BrokenPipeError())) == 1
    assert capsys.readouterr().err == ""


def test_names_of_any_bytes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9\n.wav")
    console = Console()

    def work() -> None:
        console.note(f"note {name}")
        console.warn(name)
        console.result(name)
        console.table(name, ["name"], [[name]])

    assert ended(work) == 0
    out, err = capsys.readouterr()
    assert err == "note caf\\xe9\n.wav\nwarning: caf\\xe9\\n.wav\n"
    assert out.encode("utf-8").startswith(b"caf\\udce9\n.wav\ncaf\\xe9\\n.wav\n")


PROGRAM = """
import sys, time, tempfile, typer
from apollo_data.console import Console, run_app
app = typer.Typer()
@app.command()
def work(wait: bool = False) -> None:
    with tempfile.TemporaryDirectory(prefix="apollo-", dir=sys.argv[0]) as folder:
        Console().result(folder)
        Console().note("ready")
        if wait:
            time.sleep(60)
sys.argv[0] = FOLDER
run_app(app)
"""


def program(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM.replace("FOLDER", repr(str(folder))), *words]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_results_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(program(tmp_path), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    reason = "error: standard output: cannot be written (No space left on device)"
    assert done.stderr.splitlines()[-1] == reason  # at once, or when the buffer is written
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(program(tmp_path), stderr=full, stdout=subprocess.PIPE, text=True)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_no_temporary_folder(tmp_path: Path, sent: signal.Signals) -> None:
    process = subprocess.Popen(program(tmp_path, "--wait"), stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(sent)
    told = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + sent
    assert told == "interrupted; run the same command again to go on\n"
    assert not list(tmp_path.iterdir())


def test_nohup_is_respected(tmp_path: Path) -> None:
    command = ["nohup", *program(tmp_path, "--wait")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    while process.stderr.readline() != "ready\n":
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
