"""Work beside the training that may fail without ending it."""

import contextlib
from collections.abc import Iterator

from apollo_data.console import Console


@contextlib.contextmanager
def without_ending_the_run(console: Console, what: str) -> Iterator[None]:
    """Turn any error of the block into a warning, since a run must not end over a picture."""
    try:
        yield
    except Exception as error:  # matplotlib's, soundfile's, the system's
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        console.warn(f"{what} are not written ({reason}); the training goes on")
