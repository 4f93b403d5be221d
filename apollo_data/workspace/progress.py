"""Long work that keeps what it has found: a killed run costs its last seconds and no more.

What there is so far is written as a whole manifest every 20 s, and when the work breaks off. The
next run reads those rows and takes over the ones that still speak of the files that are there.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from apollo_data.errors import DataError
from apollo_data.workspace.manifest import iterate_rows, read_header, root_of

SAVE_SECONDS = 20.0

Row = TypeVar("Row")


@contextlib.contextmanager
def saving(save: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Yield what is to be called after each result; it calls `save` once in `SAVE_SECONDS`.

    A block that raises is saved, too, an interrupted one included. One that ends well is not:
    what becomes of its results is up to the caller.
    """
    saved = time.monotonic()

    def tick() -> None:
        nonlocal saved
        if time.monotonic() - saved > SAVE_SECONDS:
            save()
            saved = time.monotonic()

    try:
        yield tick
    except BaseException:
        save()
        raise


def kept_rows(path: Path, kind: str, row_type: type[Row], root: Path) -> list[Row]:
    """Return what an earlier run has kept; nothing if it cannot be read, or is of another root."""
    try:
        if root_of(path, read_header(path)).resolve() != root.resolve():
            return []
        return list(iterate_rows(path, kind, row_type))
    except DataError:
        return []
