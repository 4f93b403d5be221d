"""The commands as a user runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.small_songs import small_settings

from apollo_data.settings import settings_toml

PROGRAM = "from apollo_data.cli import main; main()"


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
    )


def test_sad_works_on_any_folder_and_prints_one_row_a_class(songs: Path, tmp_path: Path) -> None:
    done = run("sad", "--in", songs / "mus", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["vocals", "4", "0.009", "85.0%"] in rows
    assert ["all", "16", "0.036", "85.0%"] in rows
    assert (tmp_path / "data" / "mus" / "activity.jsonl").is_file()
    as_json = run("sad", "--in", songs / "mus", "--json", "--quiet", cwd=tmp_path)
    assert as_json.stderr == ""
    assert {row["stem_class"]: row["files"] for row in json.loads(as_json.stdout)}["bass"] == 4


def test_stages_go_on_from_one_another(songs: Path, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(settings_toml(small_settings()))
    assert run("catalog", "--in", songs, "--out", tmp_path / "w").returncode == 0
    assert run("sad", "--in", tmp_path / "w" / "tracks.jsonl").returncode == 0
    mixed = run("mix", "--in", tmp_path / "w", "--config", config)
    assert mixed.returncode == 0, mixed.stderr
    assert "activity: nothing to do" in mixed.stderr
    assert len((tmp_path / "w" / "mixes.jsonl").read_text().splitlines()) == 1 + 10 + 3 + 4
    built = run("build-h5", "--in", songs, "--out", tmp_path / "w", "--config", config)
    assert built.returncode == 0, built.stderr
    assert "mixes: nothing to do" in built.stderr
    assert "anew" not in built.stderr
    verified = run("verify", tmp_path / "w" / "shards")
    assert (verified.returncode, verified.stdout) == (0, "5 shards are whole\n")
    shard = tmp_path / "w" / "shards" / "valid" / "shard-00000.h5"
    summary = json.loads(run("inspect", shard, "--json").stdout)
    assert summary[0]["targets"] == 3
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    damaged = run("verify", tmp_path / "w" / "shards")
    assert damaged.returncode == 1
    assert "valid/shard-00000.h5: its SHA-256" in damaged.stdout
    assert len(damaged.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["build-h5", "--config", "none.toml"], 1, "error: none.toml: cannot be read"),
        (["sad", "--in", "nowhere"], 1, "error: nowhere: no such folder"),
        (["sad"], 2, "--in"),
        (["verify", "nowhere"], 1, "error: nowhere: no such file or folder"),
        (["inspect", "."], 1, "holds no shards"),
        (["build-h5", "--workers", "0"], 2, "--workers"),
        (["build-h5"], 1, "name your songs with --in DIR"),
        (["nonsense"], 2, "nonsense"),
        (["demo", "--songs", "0"], 1, "demo.songs"),
    ],
)
def test_errors_are_told_with_the_right_status(
    tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if status == 1:
        assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_ends_with_130_and_the_next_run_goes_on(songs: Path, tmp_path: Path) -> None:
    config = tmp_path / "long.toml"
    many = {"train_clips": 400, "valid_clips": 0, "clips_per_shard": 4}
    config.write_text(settings_toml(small_settings(shards=many, evaluation={"per_category": 0})))
    command = ["build-h5", "--config", config, "--in", songs, "--out", tmp_path / "w", "-j", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "w").rglob("shard-*.h5")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "interrupted; run the same command again to go on"
    assert not list((tmp_path / "w").rglob("*.partial"))
