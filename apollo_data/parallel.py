"""Parallel map: call a function for each item on local processes or on a Dask cluster, in order.

joblib hands the items out in both cases. On a cluster only the function's arguments travel, so
every machine must see the same folders under the same paths, and must run the same version of
this software.
"""

import contextlib
import functools
import logging
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from apollo_data import __version__
from apollo_data.console import Console
from apollo_data.errors import SettingsError, ToolError

Item = TypeVar("Item")
Result = TypeVar("Result")

WHOLE_CLUSTER = -1
"""The value of `workers` within `cluster`."""

_AHEAD = "2*n_jobs"
_AHEAD_ON_CLUSTER = "256 + 2*n_jobs"  # few enough to hold; workers that join later find work

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")
_CONNECT_SECONDS = 10
_FIRST_WORKER_SECONDS = 3600  # jobs may wait in a queue for long
_POLL_SECONDS = 0.5


def default_workers() -> int:
    """Return the number of cores that this process may use."""
    return joblib.cpu_count(only_physical_cores=False) or os.cpu_count() or 1


def parallel_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for each item, in order, on `workers` processes.

    The function must not depend on the order or the place of its call. Items are taken
    lazily, a few ahead of the results. Within `cluster` the cluster's workers are used.

    Raises
    ------
    ToolError
        A worker died, the cluster was lost, or a worker runs another version of this software.
    """
    if workers == 1:
        yield from map(function, items)
        return
    on_cluster = workers == WHOLE_CLUSTER
    ahead = _AHEAD_ON_CLUSTER if on_cluster else _AHEAD
    call = functools.partial(_call_in_version, function, __version__) if on_cluster else function
    # Without a named folder joblib makes one in /dev/shm at once, which SIGKILL would leave behind.
    memory = {"max_nbytes": None, "temp_folder": tempfile.gettempdir()}
    parallel = joblib.Parallel(workers, return_as="generator", pre_dispatch=ahead, **memory)
    try:
        yield from parallel(joblib.delayed(call)(item) for item in items)
    except TerminatedWorkerError:
        raise ToolError(
            "a worker process died: killed, or out of memory; run the same command again to go "
            "on, with fewer --workers if memory is short"
        ) from None
    except BaseException:  # interrupted or closed early: no worker may go on writing
        if not on_cluster:
            get_reusable_executor().shutdown(wait=True, kill_workers=True)
        raise


def _call_in_version(function: Callable[[Item], Result], version: str, item: Item) -> Result:
    """Call a function on a worker, after a check that the worker runs `version`."""
    if __version__ != version:
        raise ToolError(
            f"a worker on {socket.gethostname()} runs apollo-toolkit {__version__}, this program "
            f"is {version}; install the same version on all workers and start them again"
        )
    return function(item)


@contextlib.contextmanager
def cluster(scheduler: str, console: Console) -> Iterator[None]:
    """Let `parallel_map` use the Dask cluster of the scheduler at ``tcp://host:8786``.

    Workers may die or join at any time; the work of a dead worker is done again elsewhere.

    Parameters
    ----------
    scheduler
        The scheduler's address: protocol, host and port.
    console
        Where the user is told that no worker is there yet.

    Raises
    ------
    SettingsError
        The address is not of the form ``tcp://HOST:PORT``.
    ToolError
        Dask is missing, no scheduler answers, no worker comes, or the cluster is lost.
    """
    host, port = _host_and_port(scheduler)
    try:
        import distributed
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise ToolError(
            "--scheduler needs the package dask[distributed]; pip install 'apollo-toolkit[cluster]'"
        ) from None
    late = (distributed.TimeoutError, TimeoutError)  # two classes until Python 3.11
    for name in ("distributed", "distributed.client"):  # what they log is told below
        logging.getLogger(name).setLevel(logging.CRITICAL)
    lost = (distributed.CancelledError, *late, CommClosedError, ConnectionError)

    class Client(distributed.Client):
        def __del__(self) -> None:
            """Nothing: the end of a client that never connected waits 20 s and fails."""

    try:
        _await_port(host, port)
        client = Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        why = str(error) or type(error).__name__
        raise ToolError(f"{scheduler}: no Dask scheduler answers ({why})") from None
    with client:
        try:
            _await_worker(client, scheduler, console)
            with joblib.parallel_config(backend=_dask_backend(client)):
                yield
        except KilledWorker:
            raise ToolError(
                f"{scheduler}: the workers died at the same work several times; look at their "
                "memory and logs, then run the same command again to go on"
            ) from None
        except (AttributeError, ImportError) as error:
            if "apollo_data" not in str(error):
                raise
            raise ToolError(
                f"{scheduler}: a worker runs another version of this software ({error}); install "
                f"apollo-toolkit {__version__} on all workers and start them again"
            ) from None
        except lost:
            raise ToolError(
                f"{scheduler}: the connection to the scheduler was lost; start it and its "
                "workers again, then run the same command again to go on"
            ) from None


def _host_and_port(scheduler: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(scheduler)
    if found is None or not 0 < int(found[3]) < 1 << 16:
        raise SettingsError(f"--scheduler {scheduler!r}: expected tcp://HOST:PORT")
    return found[2].strip("[]"), int(found[3])


def _await_port(host: str, port: int) -> None:
    """Wait until something listens: a scheduler may have been started a moment ago.

    Raises
    ------
    OSError
        Nothing listens after `_CONNECT_SECONDS`.
    """
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            socket.create_connection((host, port), _CONNECT_SECONDS).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)


def _await_worker(client: Any, scheduler: str, console: Console) -> None:
    """Wait until the cluster has a worker, and say so if there is none at once."""
    deadline = time.monotonic() + _FIRST_WORKER_SECONDS
    if not client.nthreads():
        limit = f"at most {_FIRST_WORKER_SECONDS / 60:.0f} minutes"
        console.note(f"{scheduler}: waiting for the first worker ({limit})")
    while not client.nthreads():
        if client.status != "running":
            raise ConnectionError
        if time.monotonic() > deadline:
            raise ToolError(
                f"{scheduler}: no worker came; start some with `dask worker {scheduler}`"
            )
        time.sleep(_POLL_SECONDS)


def _dask_backend(client: Any) -> Any:
    """Return joblib's Dask backend with three repairs.

    Without them it waits for ever for a task whose workers died, works in this process when the
    cluster has one thread, and gives no work to workers that join later.
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
