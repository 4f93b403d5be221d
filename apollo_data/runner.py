"""Map a function over items on this machine's processes; results come in the items' order."""

import os
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return joblib.cpu_count(only_physical_cores=False) or os.cpu_count() or 1


def run(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for each item, in order, on `workers` processes.

    The function must not depend on the order or the place of its call; items are taken
    lazily, a few ahead of the results.
    """
    if workers == 1:
        yield from map(function, items)
        return
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator", pre_dispatch="2*n_jobs")
    try:
        yield from parallel(joblib.delayed(function)(item) for item in items)
    except BaseException:  # interrupted or closed early: no worker may go on writing
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
        raise
