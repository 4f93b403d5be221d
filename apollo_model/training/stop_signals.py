"""SIGTERM and Ctrl-C as a wish: the run ends its step, saves and says so."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopWish:
    """Whether the user or the scheduler wants the run to stop, and by what signal."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def is_set(self) -> bool:
        """Whether it does."""
        return self.signal is not None

    def _take(self, number: int, _frame: FrameType | None) -> None:
        if self.is_set and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked twice: at once
        self.signal = signal.Signals(number)


@contextlib.contextmanager
def stop_wish() -> Iterator[StopWish]:
    """Turn SIGINT and SIGTERM into a wish while the block runs; a second Ctrl-C ends at once.

    Outside the main thread signals cannot be caught; there the wish is never set.
    """
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {number: signal.signal(number, wish._take) for number in _SIGNALS}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
