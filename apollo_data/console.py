"""What the commands show: progress on stderr, tables on stdout, errors as one line."""

import collections
import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import rich.box
import rich.console
import rich.measure
import rich.progress
import rich.table
import typer

from apollo_data.errors import ApolloError

INTERRUPTED = 130
_PLAIN_INTERVAL_SECONDS = 5.0
_LONGEST_INTERVAL_SECONDS = 60.0
_PLAIN_LINES = 20  # two lines are a 20th of the time so far apart: a night fills no log
_RATE_LINES = 3

Advance = Callable[[int], None]
"""Called with the number of items that were finished since the last call."""


class Console:
    """Where a command's words go; `quiet` silences everything but results and errors."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._err = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Tell how the work goes (stderr)."""
        if not self.quiet:
            self._err.print(text, markup=False)

    def warn(self, text: str) -> None:
        """Tell what the user should know even when quiet (stderr)."""
        self._err.print(f"warning: {text}", markup=False)

    def result(self, text: str) -> None:
        """Print a result (stdout), as it is."""
        print(text)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1
    ) -> None:
        """Print a table as a result (stdout): the first `words` columns left, the others right."""
        table = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False)
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number < words else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        # A wide console measures the table; a row that does not fit a terminal is not cut.
        wide = rich.console.Console(width=10_000)
        width = rich.measure.Measurement.get(wide, wide.options, table).maximum
        print(title)
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
            )
            with rich.progress.Progress(*columns, console=self._err) as bar:
                task = bar.add_task(title, total=total, unit=unit, rate="")
                started = time.monotonic()
                done = 0

                def advance(count: int) -> None:
                    nonlocal done
                    done += count
                    rate = done / max(time.monotonic() - started, 1e-6)
                    bar.update(task, advance=count, rate=f"{rate:.1f}/s")

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
            wait = min(_LONGEST_INTERVAL_SECONDS, max(_PLAIN_INTERVAL_SECONDS, wait))
            if done >= total and not was_done:
                self.note(f"{title}: {done}/{total} {unit}, {_rate(now - started, done):.1f}/s")
            elif done < total and now - lines[-1][0] >= wait:
                rate = _rate(now - lines[0][0], done - lines[0][1])
                left = f", {_span((total - done) / rate)} left" if rate else ""
                self.note(f"{title}: {done}/{total} {unit}, {rate:.1f}/s{left}")
                lines.append((now, done))

        return advance


def _rate(seconds: float, count: int) -> float:
    return count / max(seconds, 1e-6)


def _span(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    Examples
    --------
    >>> _span(5), _span(90), _span(7205)
    ('0:05', '1:30', '2:00:05')
    """
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def run_app(app: typer.Typer) -> None:
    """Run a command line; turn errors into one line and the exit statuses of the contract.

    0 is success, 1 work that failed, 2 bad usage, 130 interrupted (and resumable).
    """
    try:
        app()
    except ApolloError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("interrupted; run the same command again to go on", file=sys.stderr)
        raise
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(1) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}".replace("\n", " "), file=sys.stderr)
        raise SystemExit(1) from None
