"""Save the results of long work as it goes, so that a killed run loses only its last seconds.

The rows so far are written as a whole manifest every 20 s, and when the work stops early. The next
run reads them and keeps those that are still valid.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from apollo_data.errors import DataError
from apollo_data.workspace.manifest import iterate_rows

SAVE_SECONDS = 20.0

Row = TypeVar("Row")


@contextlib.contextmanager
def saving(save: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each result; it calls `save` every `SAVE_SECONDS`.

    `save` is also called when the block raises or is interrupted. When the block ends well it is
    not: the caller writes the final result.
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


def kept_rows(path: Path, kind: str, row_type: type[Row]) -> list[Row]:
    """Return the rows that an earlier run has saved; none if they cannot be read."""
    try:
        return list(iterate_rows(path, kind, row_type))
    except DataError:
        return []
