"""Builds that are cut in parts, spread over processes, killed or starved: always the same bytes."""

import errno
import fcntl
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.built_shards import digests, wait_for_shards
from helpers.small_songs import small_settings

from apollo_data.audio.files import files_of
from apollo_data.console import Console
from apollo_data.errors import BusyError, DataError, SettingsError
from apollo_data.pipeline import build_h5, build_h5_part, plan_prepared, prepare
from apollo_data.records import MixRecipe
from apollo_data.settings import settings_toml
from apollo_data.shards import find_shards
from apollo_data.shards.build import ShardPart
from apollo_data.storage import folder_lock
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_manifest

QUIET = Console(quiet=True)
PROGRAM = "from apollo_data.cli import main; main()"
SHARDS = 5
QUICK = {"activity": {"detector": "energy"}}  # spares each process the import of torch


class Folder:
    """A working folder that the command line builds."""

    def __init__(self, path: Path, songs: Path) -> None:
        self.path, self.songs = path, songs
        path.mkdir(parents=True)
        self.config = path / "small.toml"
        self.config.write_text(settings_toml(small_settings(**QUICK)))

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        command, *rest = arguments or ("build-h5", "--in", str(self.songs), "-j", "1")
        words = [command, "--config", str(self.config), "--out", str(self.path), *rest]
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words],
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def run(self, *arguments: str, **environment: str) -> str:
        process = self.start(*arguments, **environment)
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        return out + errors


@pytest.fixture
def folder(songs: Path, tmp_path: Path) -> Folder:
    return Folder(tmp_path / "out", songs)


@pytest.fixture(scope="module")
def undisturbed(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = Folder(tmp_path_factory.mktemp("undisturbed") / "out", songs)
    folder.run()
    return digests(folder.path)


@pytest.mark.slow
def test_parts_in_any_order_at_once_and_twice_make_the_whole(
    folder: Folder, undisturbed: dict[str, str]
) -> None:
    folder.run("mix", "--in", str(folder.songs))
    parts = ["2/2", "3:5", "1/2", "0:1"]  # 3:5 and 0:1 are built twice, at the same time
    processes = [folder.start("build-h5", "--shards", part, "-j", "1") for part in parts]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert not (folder.path / "shards.jsonl").exists()
    assert f"{SHARDS} of {SHARDS} shards were there already" in folder.run()
    assert digests(folder.path) == undisturbed
    assert not list(folder.path.rglob("*.partial"))


def test_what_killed_writers_left_is_cleared_by_who_holds_the_folder(tmp_path: Path) -> None:
    work = WorkFolder.at(tmp_path)
    left = [tmp_path / ".rejects.jsonl.abc.partial", work.decoded / ".x.wav.abc.partial"]
    yours = tmp_path / "raw" / ".mine.partial"
    for path in (*left, yours):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    with work.lock():
        assert not any(path.exists() for path in left)
        with pytest.raises(BusyError, match="in use by process"), work.lock():
            pass
    assert yours.exists()


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")  # as Lustre does without -o flock

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(DataError, match=r"Function not implemented.*with flock"),
        folder_lock(tmp_path),
    ):
        pass


def test_a_part_needs_the_plan_of_its_settings(built_copy: Path, tmp_path: Path) -> None:
    work, part = WorkFolder.at(built_copy), ShardPart(0, 1)
    with pytest.raises(DataError, match="no such manifest"):
        build_h5_part(WorkFolder.at(tmp_path), small_settings(), part, 1, QUIET)
    assert build_h5_part(work, small_settings(), part, 1, QUIET).reused == 1
    louder = small_settings(mixing={"clip_seconds": 1.0, "gain_db": [-3.0, 10.0]})
    with pytest.raises(DataError, match=r"mixes\.jsonl: .*\(mixing\.gain_db changed\); run `mix`"):
        build_h5_part(work, louder, part, 1, QUIET)
    deaf = small_settings(activity={"onset_db": -30.0})
    with pytest.raises(DataError, match=r"activity\.onset_db changed"):
        build_h5_part(work, deaf, part, 1, QUIET)


def test_parts_bear_parts_beside_them_and_no_whole_build(songs: Path, built_copy: Path) -> None:
    work = WorkFolder.at(built_copy)
    with folder_lock(built_copy, shared=True):
        assert build_h5_part(work, small_settings(), ShardPart(0, 1), 1, QUIET).reused == 1
        with pytest.raises(BusyError, match=f"in use by process {os.getpid()}"):
            build_h5(songs, work, small_settings(), 1, QUIET)
    with folder_lock(built_copy), pytest.raises(BusyError):
        build_h5_part(work, small_settings(), ShardPart(0, 1), 1, QUIET)


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "4:4", "5:3", "-1:2", "a:b"])
def test_a_part_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="expected A:B"):
        ShardPart.parse(text)


def test_parts_share_all_shards_out() -> None:
    parts = [ShardPart.parse(f"{number}/3") for number in (1, 2, 3)]
    owners = [[part.has(shard) for part in parts].count(True) for shard in range(10)]
    assert owners == [1] * 10
    assert [shard for shard in range(10) if ShardPart.parse("2:4").has(shard)] == [2, 3]


class Told(Console):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_what_is_made_anew_says_why(songs: Path, built_copy: Path) -> None:
    def notes(**changes: object) -> list[str]:
        told = Told()
        build_h5(songs, WorkFolder.at(built_copy), small_settings(**changes), 1, told)
        return [note for note in told.notes if "anew" in note]

    assert notes() == []
    assert notes(evaluation={"per_category": 1, "seed": 9}) == [
        "mixes: drawn anew (evaluation.seed changed)",
        "shards: 1 built anew (evaluation.seed changed)",
    ]
    stored = {"train_clips": 10, "valid_clips": 3, "clips_per_shard": 4}
    assert notes(
        evaluation={"per_category": 1, "seed": 9}, shards={**stored, "compression": "gzip"}
    ) == [f"shards: {SHARDS} built anew (shards.compression changed)"]
    assert notes(activity={"onset_db": -30.0})[:2] == [
        "activity: detected anew (activity.onset_db changed)",
        "mixes: drawn anew (evaluation.seed changed, the activity changed)",
    ]


def wait_until(folder: Folder, process: "subprocess.Popen[str]", writing: bool) -> None:
    """Wait until a build has begun its work or, with `writing`, a shard that it writes."""
    lock, own = folder.path / ".lock", f"process {process.pid} "
    left = set(folder.path.rglob(".shard-*"))
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        if not writing and lock.exists() and lock.read_text().startswith(own):
            return
        if writing and set(folder.path.rglob(".shard-*")) - left:
            return
        time.sleep(0.01)


@pytest.mark.parametrize("kills", [6, pytest.param(30, marks=pytest.mark.slow)])
def test_however_often_a_build_is_killed_it_ends_the_same(
    folder: Folder, undisturbed: dict[str, str], kills: int
) -> None:
    chance = random.Random(kills)
    for number in range(kills):
        for shard in sorted(folder.path.rglob("shard-*.h5"))[3:]:  # some work for every run
            shard.unlink()
        process = folder.start(
            "build-h5", "--in", str(folder.songs), "-j", str(2 if number % 5 == 1 else 1)
        )
        wait_until(folder, process, writing=number % 3 != 0)
        time.sleep(chance.uniform(0.0, 0.4))
        os.killpg(process.pid, signal.SIGKILL)  # its workers and ffmpeg with it
        process.communicate()
    folder.run()
    assert digests(folder.path) == undisturbed
    assert not list(folder.path.rglob("*.partial"))


def test_an_ffmpeg_that_hangs_once_costs_time_and_nothing_else(
    folder: Folder, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    import imageio_ffmpeg

    fake, hung = tmp_path / "ffmpeg", tmp_path / "hung"
    fake.write_text(
        f'#!/bin/sh\nif [ ! -e {hung} ] && echo "$@" | grep -q libmp3lame; then\n'
        f'  : > {hung}; exec sleep 60\nfi\nexec {imageio_ffmpeg.get_ffmpeg_exe()} "$@"\n'
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    impatient = small_settings(codec={"timeout_seconds": 5.0}, **QUICK)
    folder.config.write_text(settings_toml(impatient))
    folder.run(APOLLO_FFMPEG=str(fake))
    assert hung.exists()
    assert digests(folder.path) == undisturbed


def test_a_file_that_vanishes_in_the_midst_costs_its_clips_until_it_is_back(
    built_with_songs: tuple[Path, Path], tmp_path: Path
) -> None:
    songs, out = built_with_songs
    work, lenient = WorkFolder.at(out), small_settings(max_rejected_share=0.9)
    whole = digests(work.path)
    plan = read_manifest(work.mixes, "mixes", MixRecipe).rows
    clip = next(row.mixture for row in plan if row.mixture and row.index >= 4)
    for shard in find_shards(work.shards)[1:]:  # as if the build were at its second shard
        shard.unlink()
    victim = files_of(songs, clip.path, clip.sources)[0]
    victim.rename(tmp_path / "elsewhere")
    report = build_h5(work.tracks, work, lenient, 1, QUIET)
    assert report.rejected > 0
    assert report.reused == 1
    rows = [row for row in work.read_rejects() if row.stage == "build-h5"]
    assert len(rows) == report.rejected
    assert all(row.reason == f"{victim}: no such file" for row in rows)
    (tmp_path / "elsewhere").rename(victim)
    assert build_h5(work.tracks, work, lenient, 1, QUIET).rejected == 0
    assert digests(work.path) == whole


def test_a_part_without_clips_fails_names_the_reason_and_leaves_no_shard(
    own_songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    songs, work = own_songs, WorkFolder.at(tmp_path / "out")
    settings = small_settings(**QUICK)
    plan_prepared(prepare(songs, work, settings, 1, QUIET), work, settings, QUIET)
    shutil.rmtree(songs)
    with pytest.raises(DataError, match=r"(\d+) of \1 clips were rejected"):
        build_h5_part(work, settings, ShardPart(0, 1), 1, Console())
    assert "no such file" in capsys.readouterr().err
    assert not list(work.shards.rglob("*"))[1:]


def children(pid: int) -> list[int]:
    """Processes that a process has started, by what /proc says."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(entry.parent.name))
    return found


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_build_in_one_line_and_the_next_goes_on(
    folder: Folder, undisturbed: dict[str, str]
) -> None:
    process = folder.start("build-h5", "--in", str(folder.songs), "-j", "2")
    wait_for_shards(folder.path, 1)
    workers = [
        pid
        for pid in children(process.pid)
        if b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: a worker process died: killed, or out of memory" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    folder.run()
    assert digests(folder.path) == undisturbed


@pytest.fixture
def dask_cluster(tmp_path: Path) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """A scheduler and two workers without nannies, each a process, on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    scheduler = [
        *(sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"),
        *("--port", address.rpartition(":")[2], "--no-dashboard"),
    ]
    worker = [
        *(sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny"),
        *("--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1"),
    ]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        for command in (scheduler, worker, worker)
    ]
    try:
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_builds_the_same_bytes(
    folder: Folder,
    undisturbed: dict[str, str],
    dask_cluster: tuple[str, list["subprocess.Popen[bytes]"]],
) -> None:
    address, workers = dask_cluster
    process = folder.start("build-h5", "--in", str(folder.songs), "--scheduler", address)
    wait_for_shards(folder.path, 1)
    os.kill(workers[0].pid, signal.SIGKILL)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert digests(folder.path) == undisturbed
    assert not list(folder.path.rglob("*.partial"))
    assert f"{SHARDS} of {SHARDS}" in folder.run(
        "build-h5", "--in", str(folder.songs), "--scheduler", address
    )
