"""The Slurm script with an `sbatch` that runs what it is given at once."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.small_songs import small_settings

from apollo_data.settings import settings_toml

SBATCH = """#!/usr/bin/env bash
set -e
array=1-1
while [ $# -gt 0 ]; do
  case $1 in
    --array=*) array=${1#--array=} ;;
    --wrap) wrap=$2; shift ;;
  esac
  shift
done
for task in $(seq "${array%-*}" "${array#*-}"); do
  SLURM_ARRAY_TASK_ID=$task bash -c "$wrap" >> "$JOBS"
done
echo "$RANDOM"
"""


@pytest.mark.slow
def test_the_array_job_plans_builds_its_parts_and_finishes(songs: Path, tmp_path: Path) -> None:
    places = {"bin": tmp_path / "bin", "OUT": tmp_path / "out", "JOBS": tmp_path / "jobs.txt"}
    places["bin"].mkdir()
    sbatch, tool = places["bin"] / "sbatch", places["bin"] / "apollo-data"
    sbatch.write_text(SBATCH)
    program = "from apollo_data.cli import main; main()"
    tool.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{program}' \"$@\"\n")
    for script in (sbatch, tool):
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    config = tmp_path / "small.toml"
    config.write_text(settings_toml(small_settings(activity={"detector": "energy"})))
    environment = {
        **os.environ,
        "PATH": f"{places['bin']}:{os.environ['PATH']}",
        **{"PIPELINE": str(config), "SONGS": str(songs), "PARTS": "2", "CORES": "1"},
        **{name: str(places[name]) for name in ("OUT", "JOBS")},
    }
    done = subprocess.run(
        ["bash", "pipelines/slurm_array.sh"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = places["JOBS"].read_text()
    assert "10 clips drawn" in told  # shards 0, 2 and 4
    assert "7 clips drawn" in told  # shards 1 and 3
    assert "5 of 5 shards were there already" in told
    assert "5 shards are whole" in told
