"""What a benchmark finds out."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured value beside that of the plain alternative; `ratio` outlives the machine."""

    name: str
    value: float
    unit: str
    plain: float
    plain_name: str

    @property
    def ratio(self) -> float:
        """The value in units of the plain alternative's."""
        return self.value / self.plain


def seconds(work: Callable[[], object], rounds: int = 2) -> float:
    """Return the shortest of some rounds: what disturbs can only make one longer."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
