"""What the commands show: progress on stderr, tables on stdout, errors as one line."""

import collections
import contextlib
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

import rich.box
import rich.console
import rich.measure
import rich.progress
import rich.table

from apollo_data.disk_space import full_disk_reason
from apollo_data.errors import ApolloError, DataError

INTERRUPTED = 130
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_STOPPED = {INTERRUPTED, *(128 + number for number in _STOP_SIGNALS)}
_LONGEST_ERROR = 500
_PLAIN_INTERVAL_SECONDS = 5.0
_LONGEST_INTERVAL_SECONDS = 60.0
_PLAIN_LINES = 20  # two lines are a 20th of the time so far apart: a night fills no log
_RATE_LINES = 3

Advance = Callable[[int], None]
"""Called with the number of items that were finished since the last call."""


def one_line(text: object) -> str:
    r"""Return a text as one printable line, with file names of any bytes in it.

    Newlines and other control characters are escaped, and so are the bytes of a file name that
    are not UTF-8 (which Python keeps as lone surrogates).

    Examples
    --------
    >>> print(one_line("a\nb\x1b c\udcff"))
    a\nb\x1b c\xff
    """
    return "".join(
        character if character.isprintable() else _escaped(character) for character in str(text)
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


class Console:
    """Where a command's words go; `quiet` silences everything but results and errors.

    Notes and warnings never stop the work: if stderr cannot be written, they are lost.

    Attributes
    ----------
    detail
        A short text that stands beside the progress bar, such as the current loss.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.detail = ""
        self._err = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Tell how the work goes (stderr)."""
        if not self.quiet:
            self._tell("\n".join(map(one_line, text.split("\n"))))

    def warn(self, text: str) -> None:
        """Tell what the user should know even when quiet (stderr)."""
        self._tell(f"warning: {one_line(text)}")

    def _tell(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._err.print(text, markup=False)

    def result(self, text: str) -> None:
        """Print a result (stdout), as it is.

        Raises
        ------
        DataError
            Standard output cannot be written.
        """
        with _writing_results():
            print(text)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1
    ) -> None:
        """Print a table as a result (stdout): the first `words` columns left, the others right."""
        table = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False)
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number < words else "right", no_wrap=True)
        for row in rows:
            table.add_row(*map(one_line, row))
        # A wide console measures the table; a row that does not fit a terminal is not cut.
        wide = rich.console.Console(width=10_000)
        width = rich.measure.Measurement.get(wide, wide.options, table).maximum
        with _writing_results():
            print(one_line(title))
            rich.console.Console(width=width, highlight=False).print(table)

    @contextlib.contextmanager
    def progress(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a bar with counts, rate and time left; off a terminal, a plain line now and then."""
        if self.quiet:
            yield lambda _count: None
        elif self._err.is_terminal:
            columns = (
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TextColumn("{task.fields[unit]} {task.fields[rate]}"),
                rich.progress.TimeRemainingColumn(),
                rich.progress.TextColumn("{task.fields[detail]}", markup=False),
            )
            with rich.progress.Progress(*columns, console=self._err) as bar:
                task = bar.add_task(title, total=total, unit=unit, rate="", detail="")
                started = time.monotonic()
                done = 0

                def advance(count: int) -> None:
                    nonlocal done
                    done += count
                    rate = done / max(time.monotonic() - started, 1e-6)
                    bar.update(task, advance=count, rate=f"{rate:.1f}/s", detail=self.detail)

                yield advance
        else:
            yield self._plain_progress(title, total, unit)

    def _plain_progress(self, title: str, total: int, unit: str) -> Advance:
        started = time.monotonic()
        # A first step may take long (decoding), finished work none: only the last lines count.
        lines = collections.deque([(started, 0)], maxlen=_RATE_LINES)
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            was_done = done >= total
            done += count
            now = time.monotonic()
            wait = (now - started) / _PLAIN_LINES
            detail = f"; {self.detail}" if self.detail else ""
            wait = min(_LONGEST_INTERVAL_SECONDS, max(_PLAIN_INTERVAL_SECONDS, wait))
            if done >= total and not was_done:
                self.note(
                    f"{title}: {done}/{total} {unit}, {_rate(now - started, done):.1f}/s{detail}"
                )
            elif done < total and now - lines[-1][0] >= wait:
                rate = _rate(now - lines[0][0], done - lines[0][1])
                left = f", {time_text((total - done) / rate)} left" if rate else ""
                self.note(f"{title}: {done}/{total} {unit}, {rate:.1f}/s{left}{detail}")
                lines.append((now, done))

        return advance


def _rate(seconds: float, count: int) -> float:
    return count / max(seconds, 1e-6)


def time_text(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    Examples
    --------
    >>> time_text(5), time_text(90), time_text(7205)
    ('0:05', '1:30', '2:00:05')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def _writing_results() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"standard output: cannot be written ({error.strerror})") from None


def run_app(
    app: Callable[[Sequence[str]], object],
    arguments: Sequence[str] | None = None,
    resumable: Callable[[Sequence[str]], bool] | None = None,
) -> None:
    """Run a command line and end the process with an exit status.

    Every error becomes one line on stderr. `APOLLO_TRACEBACK=1` shows the traceback too.

    The status is 0 for success, 1 for work that failed, 2 for bad usage and 130 after Ctrl-C.
    SIGTERM and SIGHUP end a command as Ctrl-C does, so that its temporary files are removed; the
    status is then 143 or 129.

    Parameters
    ----------
    app
        A Typer application.
    arguments
        Those of the program if None.
    resumable
        Tells by the arguments whether running them again goes on where the command was stopped;
        None means always.

    Raises
    ------
    SystemExit
        Always.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    _write_any_text()
    with _ending_on_signals():
        status = _run(app, words)
        if status in _STOPPED:
            goes_on = resumable is None or resumable(words)
            _say("interrupted" + ("; run the same command again to go on" if goes_on else ""))
        status = _flush(status)
    raise SystemExit(status)


def _run(app: Callable[[Sequence[str]], object], words: Sequence[str]) -> int:
    """Run a command and return its exit status."""
    if "" in words:  # pathlib would take it for the current folder
        _say("error: an argument is empty; is a variable of the shell not set?")
        return 2
    try:
        app(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # who read the results has gone
        return 1
    except Exception as error:
        show_traceback()
        _say(f"error: {error_reason(error)}")
        return 1
    return 0


def show_traceback() -> None:
    """Print the traceback of the error that is being handled, if `APOLLO_TRACEBACK=1` is set."""
    if os.environ.get("APOLLO_TRACEBACK", "0") not in ("", "0"):
        _say(traceback.format_exc().rstrip(), lines=True)


def error_reason(error: Exception) -> str:
    """Return an error in one sentence: its own words, or what the system or a library says."""
    if isinstance(error, ApolloError):
        return str(error)
    if isinstance(error, OSError):
        name = error.filename
        where = f"{os.fsdecode(name)}: " if isinstance(name, (str, bytes)) else ""
        advice = "; make room on this disk" if full_disk_reason(error) else ""
        return f"{where}{_shortened(error.strerror or str(error))}{advice}"
    if is_out_of_memory(error):
        return "there is not enough memory for this"
    return (
        f"{type(error).__name__}: {_shortened(str(error))} (not expected here; set"
        " APOLLO_TRACEBACK=1 to see where it comes from, and report it)"
    )


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error means that memory ran out, of the machine or of a GPU."""
    named = type(error).__name__ == "OutOfMemoryError"  # torch's, which is not imported here
    return named or isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _shortened(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _LONGEST_ERROR else f"{plain[:_LONGEST_ERROR]}..."


def _say(text: str, lines: bool = False) -> None:
    """Print a line on stderr, if there is one that can be written."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(text if lines else one_line(text), file=sys.stderr, flush=True)


def _write_any_text() -> None:
    """Let the streams write every text: what their encoding lacks is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


def _flush(status: int) -> int:
    """Write out what waits in stdout; a command whose results are lost has failed."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # Python flushes once more at its end, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            _say(f"error: standard output: cannot be written ({error.strerror})")
        return status or 1
    return status


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into `SystemExit`, so that every `finally` removes its files."""

    def end(number: int, _frame: FrameType | None) -> None:
        for each in before:  # a second one must not stop the cleaning up
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _STOP_SIGNALS:
            if (handler := signal.getsignal(number)) is signal.SIG_DFL:  # `nohup` ignores SIGHUP
                before[number] = handler
                signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
