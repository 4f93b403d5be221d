"""Scratch folders go with their owners, however those end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apollo_data.workspace.temporary_folders import remove_stale, scratch_folder

HOLDER = """
import sys, time
from pathlib import Path
from apollo_data.workspace.temporary_folders import scratch_folder
with scratch_folder(Path(sys.argv[1]), "mine-") as folder:
    (folder / "big").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_goes_with_its_block_whatever_happens_in_it(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "mine-") as folder:
        (folder / "file").write_text("x")
        assert remove_stale(tmp_path, "mine-") == 0
    with pytest.raises(RuntimeError), scratch_folder(tmp_path, "mine-"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_only_what_a_killed_owner_left_is_removed(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    (tmp_path / "others-abc").mkdir()
    assert remove_stale(tmp_path, "mine-") == 0
    assert (folder / "big").is_file()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    with scratch_folder(tmp_path, "mine-") as own:
        assert set(tmp_path.glob("mine-*")) == {own, Path(f"{own}.lock")}
    assert [path.name for path in tmp_path.iterdir()] == ["others-abc"]
