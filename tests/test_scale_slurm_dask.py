"""The Slurm script of the Dask cluster, on a stand-in for Slurm that starts real workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import slurm_stand_in as slurm
from small_songs import small_settings
from test_scale import digests, wait_for_shards

from apollo_data.cli import main
from apollo_data.settings import settings_toml

pytest.importorskip("distributed")

SCRIPT = Path(__file__).parent.parent / "pipelines" / "slurm_dask.py"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    shards = {"train_clips": 40, "valid_clips": 3, "clips_per_shard": 2}
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
    started = []

    def start(*options: str) -> "subprocess.Popen[str]":
        words = ["--config", str(config), "--in", str(songs), "--out", str(tmp_path / "out")]
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *words, "--cores", "1", "--look", "0.5", *options],
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
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def cancelled(folder: Path) -> int:
    """Count the cancelled arrays, once no job has a process left."""
    deadline = time.monotonic() + 30
    while slurm.running() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert slurm.running() == {}
    return len(list((folder / "jobs").glob("*.cancelled")))


@pytest.mark.slow
def test_jobs_that_die_are_replaced_and_the_bytes_are_those_of_one_machine(
    start: Start, songs: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--queue", "cpu", "--account", "music", "--sbatch=--qos=long"]
    process = start("--jobs", "2", *options)
    wait_for_shards(tmp_path / "out", 1)
    for job in slurm.running():
        slurm.kill(job)
    status, errors = ended(process)
    assert status == 0, errors
    assert "2 jobs have ended; as many are submitted anew" in errors
    assert cancelled(tmp_path) == 2
    submitted = (tmp_path / "jobs" / "1.array").read_text().splitlines()
    assert {"--partition=cpu", "--account=music", "--qos=long", "--cpus-per-task=1"} <= {*submitted}
    plain = ["build-h5", "--config", str(config), "--in", str(songs), "-j", "1"]
    monkeypatch.setattr(sys, "argv", ["apollo-data", *plain, "--out", str(tmp_path / "plain")])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert digests(tmp_path / "out") == digests(tmp_path / "plain")
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.slow
def test_stopped_it_leaves_no_job_and_the_next_run_goes_on(start: Start, tmp_path: Path) -> None:
    process = start("--jobs", "2")
    wait_for_shards(tmp_path / "out", 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    status, errors = ended(process)
    assert status == 130
    assert "Traceback" not in errors
    assert "run the same command again to go on" in errors
    assert cancelled(tmp_path) == 1
    before = len(list((tmp_path / "out").rglob("shard-*.h5")))
    process = start("--jobs", "1")
    wait_for_shards(tmp_path / "out", before + 1)
    process.terminate()  # as `scancel` and `kill` do
    assert ended(process)[0] == 130
    assert cancelled(tmp_path) == 2
    process = start("--jobs", "1")
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert " 0 of 24 shards" not in out
    assert "of 24 shards were there already" in out


def test_jobs_that_end_at_once_end_the_build_in_one_line(start: Start, tmp_path: Path) -> None:
    # Words that Slurm would take and the workers' command does not: `wrap` ends with status 2.
    status, errors = ended(start("--jobs", "2", "--memory", "much"))
    assert status == 1
    assert "error: all jobs ended before a worker came; look at" in errors.splitlines()[-1]
    assert "much" in (tmp_path / "out" / "slurm" / "1_1.txt").read_text()
    assert len(list((tmp_path / "jobs").glob("*.array"))) == 1


def test_what_sbatch_refuses_is_told_in_one_line(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: Invalid account' >&2\nexit 1\n")
    status, errors = ended(start("--jobs", "2"))
    assert (status, errors) == (1, "error: sbatch failed: sbatch: error: Invalid account\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    status, errors = ended(start("--jobs", "2"))
    assert (status, errors) == (1, "error: sbatch: no such program; run this where Slurm's are\n")
