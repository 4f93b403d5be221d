"""The parallel map on a Dask cluster: workers that come late, lost schedulers, other versions."""

import itertools
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from apollo_data import parallel
from apollo_data.console import Console
from apollo_data.errors import SettingsError, ToolError

QUIET = Console(quiet=True)
ADDRESS = "tcp://127.0.0.1:1"


def at_work(seconds: float) -> tuple[str, float, float]:
    from distributed import get_worker

    began = time.monotonic()
    time.sleep(seconds)
    return str(get_worker().name), began, time.monotonic()


@pytest.mark.filterwarnings("ignore:.*tasks which were still being processed:UserWarning")
def test_workers_that_join_later_get_work() -> None:
    from distributed import LocalCluster

    taken: list[int] = []

    def items() -> Iterator[float]:
        for number in range(1000):
            taken.append(number)
            yield 0.3

    options = {"processes": False, "threads_per_worker": 1, "dashboard_address": None}
    options |= {"protocol": "tcp://", "host": "127.0.0.1"}
    with (
        LocalCluster(n_workers=1, **options) as dask,
        parallel.cluster(dask.scheduler_address, QUIET),
    ):
        results = parallel.parallel_map(at_work, items(), parallel.WHOLE_CLUSTER)
        next(results)  # the stage has begun, with one worker
        assert len(taken) < 300
        dask.scale(8)
        dask.wait_for_workers(8, timeout=30)
        done = list(itertools.islice(results, 80))
        results.close()
    together = [{name for name, began, end in done if began <= now < end} for _, now, _ in done]
    assert max(map(len, together)) >= 7


def test_no_cluster_and_no_dask_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_CONNECT_SECONDS", 0.5)
    with (
        pytest.raises(ToolError, match="no Dask scheduler answers"),
        parallel.cluster("tcp://127.0.0.1:9", QUIET),
    ):
        pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ToolError, match=r"apollo-toolkit\[cluster\]"),
        parallel.cluster(ADDRESS, QUIET),
    ):
        pass


@pytest.mark.parametrize(
    "address", ["", "localhost", "tcp://localhost", "localhost:8786", "tcp://h:0", "tcp://h:99999"]
)
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with (
        pytest.raises(SettingsError, match="expected tcp://HOST:PORT"),
        parallel.cluster(address, QUIET),
    ):
        pass


def test_a_scheduler_that_is_lost_while_no_worker_is_there_is_one_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-dashboard"]
    scheduler = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port)

        class Killing(Console):
            def note(self, text: str) -> None:
                assert "waiting for the first worker" in text
                scheduler.kill()

        with (
            pytest.raises(ToolError, match="connection to the scheduler was lost"),
            parallel.cluster(f"tcp://127.0.0.1:{port}", Killing()),
        ):
            pass
    finally:
        scheduler.kill()
        scheduler.wait()
    assert "Traceback" not in capfd.readouterr().err


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the scheduler did not start")


def test_a_worker_of_another_version_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parallel._call_in_version(abs, parallel.__version__, -3) == 3
    with pytest.raises(ToolError, match=r"runs apollo-toolkit .*, this program is 9\.9\.9"):
        parallel._call_in_version(abs, "9.9.9", -3)
