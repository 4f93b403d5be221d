"""The Slurm script of the Dask cluster, on a stand-in for Slurm that starts real workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers import slurm_stand_in as slurm
from helpers.built_shards import digests, wait_for_shards
from helpers.small_songs import small_settings

from apollo_data.cli import main
from apollo_data.settings import settings_toml

pytestmark = pytest.mark.skipif(  # not importorskip: its import changes what Ctrl-C does
    find_spec("dask_jobqueue") is None, reason="dask-jobqueue is not installed"
)

SCRIPT = Path(__file__).parents[2] / "pipelines" / "slurm_dask.py"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    shards = {"train_clips": 14, "valid_clips": 3, "clips_per_shard": 2}
    settings = small_settings(activity={"detector": "energy"}, shards=shards)
    path.write_text(settings_toml(settings))
    return path


@pytest.fixture
def start(
    songs: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Start]:
    """Start the script; whatever it leaves is killed."""
    for name, value in slurm.install(tmp_path / "bin", tmp_path / "jobs").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT", "200ms")
    monkeypatch.setenv("DASK_DISTRIBUTED__ADAPTIVE__INTERVAL", "200ms")
    started = []

    def start(*options: str) -> "subprocess.Popen[str]":
        words = ["--config", str(config), "--in", str(songs), "--out", str(tmp_path / "out")]
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *words, "--jobs", "2", "--interface", "lo", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    for job in slurm.running():
        slurm.kill(job)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def cancelled(folder: Path) -> int:
    """Count the cancelled jobs, once none has a process left."""
    deadline = time.monotonic() + 30
    while slurm.running() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert slurm.running() == {}
    return len(list((folder / "jobs").glob("*.cancelled")))


def replace_sbatch(folder: Path, *lines: str) -> None:
    (folder / "bin" / "sbatch").write_text("\n".join(["#!/bin/sh", *lines]))


@pytest.mark.slow
def test_jobs_that_die_are_replaced_and_the_bytes_are_those_of_one_machine(
    start: Start, songs: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("--queue", "cpu", "--account", "music", "--memory", "1GiB")
    wait_for_shards(tmp_path / "out", 1)
    for job in slurm.running():
        slurm.kill(job)
    status, errors = ended(process)
    assert status == 0, errors
    assert cancelled(tmp_path) == 4  # two that were gone, two that replaced them
    submitted = {*(tmp_path / "jobs" / "1.sh").read_text().splitlines()}
    options = ["-p cpu", "-A music", "--cpus-per-task=1", "--mem=1G", "-t 04:00:00"]
    assert {f"#SBATCH {option}" for option in options} <= submitted
    plain = ["build-h5", "--config", str(config), "--in", str(songs), "-j", "1"]
    monkeypatch.setattr(sys, "argv", ["apollo-data", *plain, "--out", str(tmp_path / "plain")])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert digests(tmp_path / "out") == digests(tmp_path / "plain")
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.slow
def test_stopped_it_leaves_no_job(start: Start, tmp_path: Path) -> None:
    process = start()
    wait_for_shards(tmp_path / "out", 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    status, errors = ended(process)
    assert status == 130, errors
    assert "Traceback" not in errors
    assert "run the same command again to go on" in errors
    assert cancelled(tmp_path) == 2
    process = start()
    deadline = time.monotonic() + 30
    while len(slurm.running()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.terminate()  # as `scancel` and `kill` do, here before a worker is there
    assert ended(process)[0] == 130
    assert cancelled(tmp_path) == 4


def test_what_cannot_start_is_told_in_one_line(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_sbatch(tmp_path, "echo 'sbatch: error: Invalid account' >&2", "exit 1")
    refused = "error: sbatch refuses the jobs: sbatch: error: Invalid account\n"
    assert ended(start()) == (1, refused)
    status, errors = ended(start("--interface", "ib7"))
    assert (status, errors.count("\n")) == (1, 1)
    assert "'ib7' is not a valid network interface" in errors
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    missing = "error: sbatch: no such program; run this on a machine that submits Slurm jobs\n"
    assert ended(start()) == (1, missing)
    (tmp_path / "dask_jobqueue.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    status, errors = ended(start())
    assert (status, errors.count("\n")) == (1, 1)
    assert "pip install 'apollo-toolkit[cluster]'" in errors


def test_it_does_not_wait_for_ever_for_jobs_that_do_not_come(start: Start, tmp_path: Path) -> None:
    # The trial passes, and the submission itself does not: too many jobs, say.
    replace_sbatch(tmp_path, '[ "$1" = --test-only ] || { echo "too many" >&2; exit 1; }')
    status, errors = ended(start("--wait", "0.0005"))
    assert status == 1
    assert "too many" in errors
    assert "error: no worker came within 0.0005 h; look at" in errors.splitlines()[-1]
