"""Map a function over items on this machine's processes, or on a Dask cluster; in order.

On a cluster the function's arguments travel and the files do not: every machine must see the
same folders under the same paths.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from apollo_data.errors import ToolError

Item = TypeVar("Item")
Result = TypeVar("Result")

WHOLE_CLUSTER = -1
"""What to say for `workers` within `cluster`."""

_CONNECT_SECONDS = 10
_FIRST_WORKER_SECONDS = 3600  # a queue of jobs may keep the first one waiting
_LOOK_SECONDS = 5


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return joblib.cpu_count(only_physical_cores=False) or os.cpu_count() or 1


def run(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for each item, in order, on `workers` processes.

    The function must not depend on the order or the place of its call; items are taken
    lazily, a few ahead of the results. Within `cluster` the cluster's workers are used.

    Raises
    ------
    ToolError
        A worker died, or the cluster was lost.
    """
    if workers == 1:
        yield from map(function, items)
        return
    if workers == WHOLE_CLUSTER:
        yield from _run_on_cluster(function, items)
        return
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator", pre_dispatch="2*n_jobs")
    try:
        yield from parallel(joblib.delayed(function)(item) for item in items)
    except TerminatedWorkerError:
        raise ToolError(
            "a worker process died: killed, or out of memory; run the same command again to go "
            "on, with fewer --workers if memory is short"
        ) from None
    except BaseException:  # interrupted or closed early: no worker may go on writing
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
        raise


@contextlib.contextmanager
def cluster(scheduler: str) -> Iterator[None]:
    """Let `run` use the Dask cluster whose scheduler is at an address like ``tcp://host:8786``.

    A worker may die or come at any time: what it was at is done again elsewhere.

    Raises
    ------
    ToolError
        Dask is missing, nobody answers at the address, or no worker of the cluster survives.
    """
    try:
        import distributed
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise ToolError(
            "--scheduler needs the package dask[distributed]; pip install 'apollo-toolkit[cluster]'"
        ) from None
    lost = (distributed.CancelledError, KilledWorker, distributed.TimeoutError, ConnectionError)
    try:
        client = distributed.Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ToolError(f"{scheduler}: no Dask scheduler answers ({error})") from None
    with client, client.as_current():
        try:
            client.wait_for_workers(1, timeout=_FIRST_WORKER_SECONDS)
            yield
        except lost as error:
            raise ToolError(
                f"{scheduler}: the cluster lost the work ({type(error).__name__}); look at its "
                "workers' memory and logs, then run the same command again to go on"
            ) from None


def _run_on_cluster(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """Yield results in order; what is on its way grows with the cluster, as workers join."""
    import distributed

    client = distributed.Client.current()
    ahead: deque[Any] = deque()
    for item in items:
        while ahead and ahead[0].done():
            yield ahead.popleft().result()
        while len(busy := [task for task in ahead if not task.done()]) >= _window(client):
            with contextlib.suppress(distributed.TimeoutError):  # look who has joined meanwhile
                distributed.wait(busy, timeout=_LOOK_SECONDS, return_when="FIRST_COMPLETED")
        ahead.append(client.submit(function, item, pure=False))
    while ahead:
        yield ahead.popleft().result()


def _window(client: Any) -> int:
    """Return how many tasks may be on their way: two for each thread that there is now."""
    return 2 * max(1, sum(client.nthreads().values()))
