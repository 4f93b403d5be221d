import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from apollo_data.errors import BusyError, DataError
from apollo_data.storage import (
    folder_lock,
    key_of,
    remove_partials,
    sha256_file,
    whole_file,
    write_text,
)


def fail_halfway(final: Path) -> None:
    with whole_file(final) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half")


def test_a_file_gets_its_name_only_when_whole(tmp_path: Path) -> None:
    final = tmp_path / "a" / "b.txt"
    with pytest.raises(RuntimeError, match="half"):
        fail_halfway(final)
    assert not final.exists()
    assert list(final.parent.iterdir()) == []
    with whole_file(final) as temporary:
        temporary.write_text("whole")
        assert not final.exists()
    assert final.read_text() == "whole"
    assert [path.name for path in final.parent.iterdir()] == ["b.txt"]


def test_an_old_file_survives_a_failed_rewrite(tmp_path: Path) -> None:
    final = tmp_path / "b.txt"
    final.write_text("old")
    with pytest.raises(RuntimeError, match="half"):
        fail_halfway(final)
    assert final.read_text() == "old"


def test_a_killed_writer_leaves_a_partial_that_can_be_removed(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from apollo_data.storage import *\n"
        "with whole_file(Path(sys.argv[1])) as t:\n"
        "    t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    final = tmp_path / "shards" / "x.h5"
    done = subprocess.run([sys.executable, "-c", program, str(final)])
    assert done.returncode == -9
    assert not final.exists()
    assert remove_partials(tmp_path) == 1
    assert list(final.parent.iterdir()) == []


def test_a_folder_has_one_owner_and_a_killed_owner_none(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from apollo_data.storage import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match=f"process {holder.pid} on"), folder_lock(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with folder_lock(tmp_path):
        pass


def test_keys_tell_content_apart_and_not_order() -> None:
    assert key_of({"a": 1, "b": [1, 2]}) == key_of({"b": [1, 2], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 1.5})
    assert key_of("a", "b") != key_of("ab")


def test_sha256_is_the_standard_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_file(tmp_path / "abc") == expected


def test_only_plain_files_are_replaced_and_links_are_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "socket-link").symlink_to("pipe")
    for name in ("pipe", "folder", "socket-link"):
        with pytest.raises(DataError, match="is not a plain file and is not replaced"):
            write_text(tmp_path / name, "x")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        write_text(tmp_path / "loop", "x")
    (tmp_path / "link").symlink_to("folder/new")
    write_text(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "new").read_text() == "x"
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("name", ["ж" * 120, "n" * 255, os.fsdecode(b"\xff" * 250)])
def test_names_as_long_as_the_disk_takes_can_be_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "x")
    assert (tmp_path / name).read_text() == "x"


def test_names_of_any_bytes_come_back_from_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    for text in (json.dumps(name), json.dumps(name, ensure_ascii=False)):
        write_text(tmp_path / "a.json", text)
        assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == name
