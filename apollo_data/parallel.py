"""Map a function over items on this machine's processes, or on a Dask cluster; in order.

Either way joblib hands the items out. On a cluster the function's arguments travel and the
files do not: every machine must see the same folders under the same paths.
"""

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from apollo_data.errors import ToolError

Item = TypeVar("Item")
Result = TypeVar("Result")

WHOLE_CLUSTER = -1
"""What to say for `workers` within `cluster`."""

_AHEAD = "2*n_jobs"
_AHEAD_ON_CLUSTER = "256 + 2*n_jobs"  # few enough to hold; workers that join later find work

_CONNECT_SECONDS = 10
_FIRST_WORKER_SECONDS = 3600  # a queue of jobs may keep the first one waiting


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return joblib.cpu_count(only_physical_cores=False) or os.cpu_count() or 1


def parallel_map(
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
    ahead = _AHEAD_ON_CLUSTER if workers == WHOLE_CLUSTER else _AHEAD
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator", pre_dispatch=ahead)
    try:
        yield from parallel(joblib.delayed(function)(item) for item in items)
    except TerminatedWorkerError:
        raise ToolError(
            "a worker process died: killed, or out of memory; run the same command again to go "
            "on, with fewer --workers if memory is short"
        ) from None
    except BaseException:  # interrupted or closed early: no worker may go on writing
        if workers != WHOLE_CLUSTER:
            get_reusable_executor().shutdown(wait=True, kill_workers=True)
        raise


@contextlib.contextmanager
def cluster(scheduler: str) -> Iterator[None]:
    """Let `parallel_map` use the Dask cluster whose scheduler is at an address like ``tcp://host:8786``.

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
    late = (distributed.TimeoutError, TimeoutError)  # two classes until Python 3.11
    lost = (distributed.CancelledError, KilledWorker, *late, ConnectionError)
    try:
        client = distributed.Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ToolError(f"{scheduler}: no Dask scheduler answers ({error})") from None
    with client:
        try:
            with joblib.parallel_config(backend=_dask_backend(client)):
                yield
        except lost as error:
            raise ToolError(
                f"{scheduler}: the cluster lost the work ({type(error).__name__}); look at its "
                "workers' memory and logs, then run the same command again to go on"
            ) from None


def _dask_backend(client: Any) -> Any:
    """Return joblib's Dask backend, mended.

    As it is, it waits for ever for a task whose workers died, and works in this process when
    the cluster has one thread, without a look at who joins.
    """
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, super().effective_n_jobs(n_jobs))

        def submit(self, func: Any, callback: Any = None) -> Any:
            future = super().submit(func, callback)
            future.add_done_callback(lambda done: callback(done) if done.exception() else None)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, Future):
                return out.result()
            return super().retrieve_result_callback(out)

    return Backend(client=client, wait_for_workers_timeout=_FIRST_WORKER_SECONDS)
