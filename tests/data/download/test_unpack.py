import hashlib
import json
import random
import signal
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import pytest

from apollo_data.console import Console
from apollo_data.disk_space import readable_bytes, require_free_space
from apollo_data.download.unpack import MARKER, is_unpacked, unpack
from apollo_data.errors import DataError

QUIET = Console(quiet=True)


def song_files(songs: int = 3, size: int = 300_000) -> dict[str, bytes]:
    rng = random.Random(7)
    return {
        f"train/Band {song} - Tüne/{stem}.wav": rng.randbytes(size)
        for song in range(songs)
        for stem in ("mixture", "vocals")
    }


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_member(path: Path, name: str, content: bytes = b"x", mode: int = 0o100644) -> Path:
    """Write a zip whose second member has this very name, which ZipInfo would clean up."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.wav", b"good")
        info = zipfile.ZipInfo("x")
        info.filename = name
        info.create_system = 3
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if path.is_file() and name not in (MARKER, ".lock")
    }


def test_files_arrive_without_litter_and_a_marker_says_so(tmp_path: Path) -> None:
    files = song_files()
    litter = {"__MACOSX/train/._a.wav": b"-", "train/.DS_Store": b"-", "train/._b.wav": b"-"}
    archive = write_zip(tmp_path / "a.zip", {**litter, "train/": b"", **files})
    out = tmp_path / "out"
    out.mkdir()
    assert not is_unpacked(out, "abc")
    assert unpack(archive, out, QUIET, sha256="abc") == 6
    assert tree(out) == files
    assert is_unpacked(out, "abc")
    assert not is_unpacked(out, "abd")
    (out / "train/Band 1 - Tüne/vocals.wav").write_bytes(b"cut")
    assert not is_unpacked(out, "abc")


def test_a_damaged_marker_is_no_marker(tmp_path: Path) -> None:
    for text in ("", "[]", '{"archive_sha256": "abc"}', '{"archive_sha256": "abc", "files": 1}'):
        (tmp_path / MARKER).write_text(text)
        assert not is_unpacked(tmp_path, "abc")


def test_a_second_run_writes_only_what_is_missing_or_changed(tmp_path: Path) -> None:
    files = song_files()
    archive = write_zip(tmp_path / "a.zip", files)
    out = tmp_path / "out"
    out.mkdir()
    unpack(archive, out, QUIET, sha256="abc")
    gone, changed, *kept = sorted(files)
    inodes = {name: (out / name).stat().st_ino for name in kept}
    (out / gone).unlink()
    (out / changed).write_bytes(bytes(len(files[changed])))
    (out / "train" / ".x.wav.abc.partial").write_bytes(b"left by a killed run")
    unpack(archive, out, QUIET, sha256="abc")
    assert tree(out) == files
    assert {name: (out / name).stat().st_ino for name in kept} == inodes


def test_a_killed_run_is_gone_on_with(tmp_path: Path) -> None:
    files = song_files(songs=3, size=2_000_000)
    archive = write_zip(tmp_path / "a.zip", files)
    out = tmp_path / "out"
    out.mkdir()
    # The progress stops for good in the middle of the third file, and there comes the kill.
    program = (
        "import contextlib, sys, time; from pathlib import Path\n"
        "from apollo_data.console import Console; from apollo_data.download.unpack import unpack\n"
        "class Stuck(Console):\n"
        "    @contextlib.contextmanager\n"
        "    def progress(self, title, total, unit):\n"
        "        done = 0\n"
        "        def advance(count):\n"
        "            nonlocal done\n"
        "            done += count\n"
        "            if done >= 5:\n"
        "                print('stuck', flush=True); time.sleep(120)\n"
        "        yield advance\n"
        "unpack(Path(sys.argv[1]), Path(sys.argv[2]), Stuck(), sha256='abc')\n"
    )
    command = [sys.executable, "-c", program, str(archive), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stuck\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    done = {name: (out / name).stat().st_ino for name in files if (out / name).exists()}
    assert len(done) == 2
    assert all((out / name).read_bytes() == files[name] for name in done)
    assert len(list(out.rglob("*.partial"))) == 1
    assert not (out / MARKER).exists()
    unpack(archive, out, QUIET, sha256="abc")
    assert tree(out) == files
    assert {name: (out / name).stat().st_ino for name in done} == done
    assert is_unpacked(out, "abc")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil", "leads out of the folder"),
        ("a/../../evil", "leads out of the folder"),
        ("a/..", "leads out of the folder"),
        ("/tmp/evil", "is absolute"),
        ("//evil", "is absolute"),
        ("C:/evil", "is absolute"),
        ("c:evil", "is absolute"),
        ("..\\evil", "has backslashes"),
        ("evil\0.wav", "has control characters"),
        ("evil\n.wav", "has control characters"),
        (".", "is empty"),
        (MARKER, "is a name of our own"),
        (".lock", "is a name of our own"),
        ("good.wav", "holds 'good.wav' twice"),
        ("GOOD.wav", "holds 'GOOD.wav' twice"),
        ("./good.wav", "holds 'good.wav' twice"),
        ("good.wav/evil", "'good.wav' is a file and a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_bad_name_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, why: str
) -> None:
    archive = write_member(tmp_path / "a.zip", name)
    refuse(archive, tmp_path, why)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../evil", "b/../../../evil", "..", "C:/x"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    name = "a/link" if target != ".." else "link"
    archive = write_member(tmp_path / "a.zip", name, target.encode(), stat.S_IFLNK | 0o777)
    refuse(archive, tmp_path, "leads out of the folder, to")


def test_a_link_inside_the_folder_is_passed_over(tmp_path: Path) -> None:
    link = stat.S_IFLNK | 0o777
    archive = write_member(tmp_path / "a.zip", "a/link", b"../good.wav", link)
    out = tmp_path / "out"
    out.mkdir()
    assert unpack(archive, out, QUIET, sha256="abc") == 1
    assert tree(out) == {"good.wav": b"good"}


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFBLK, stat.S_IFSOCK])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: int) -> None:
    archive = write_member(tmp_path / "a.zip", "pipe", b"", kind | 0o644)
    refuse(archive, tmp_path, "'pipe' is neither file nor folder")


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.wav": bytes(20_000_000)})
    assert archive.stat().st_size < 21_000
    refuse(archive, tmp_path, r"states to unpack to 20\.0 MB, 1\d\d\d times its size, at most 200")


def test_more_than_is_known_of_a_data_set_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.wav": random.Random(1).randbytes(300_000)})
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DataError, match=r"states to unpack to 0\.3 MB, at most 0\.2 MB"):
        unpack(archive, out, QUIET, sha256="abc", max_bytes=200_000)
    assert tree(out) == {}


def test_a_member_that_holds_more_than_it_states_is_cut_off(tmp_path: Path) -> None:
    content = bytes(5_000_000)
    archive = write_zip(tmp_path / "a.zip", {"a.wav": content})
    # Both headers lie about size and CRC-32, consistently: only counting finds out.
    truth = struct.pack("<LLL", zlib.crc32(content), zip_entry(archive), len(content))
    lie = struct.pack("<LLL", zlib.crc32(content[:1000]), zip_entry(archive), 1000)
    raw = archive.read_bytes()
    assert raw.count(truth) == 2
    archive.write_bytes(raw.replace(truth, lie))
    refuse(archive, tmp_path, "'a.wav' states 1000 bytes and holds more")


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("a.wav", random.Random(1).randbytes(100_000))
        for number in range(5):
            twin = written.infolist()[0].__class__(f"{number}.wav")
            for field in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(twin, field, getattr(written.infolist()[0], field))
            written.filelist.append(twin)
    refuse(archive, tmp_path, "has members that overlap")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"a.wav": b"secret"})
    raw = bytearray(archive.read_bytes())
    raw[raw.index(b"PK\1\2") + 8] |= 1
    archive.write_bytes(raw)
    refuse(archive, tmp_path, "'a.wav' is encrypted")


def test_damage_is_found_and_the_file_does_not_appear(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", song_files(songs=1))
    raw = bytearray(archive.read_bytes())
    raw[400_000] ^= 255
    archive.write_bytes(raw)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DataError, match=r"a\.zip: is damaged \(.*download it again"):
        unpack(archive, out, QUIET, sha256="abc")
    assert list(tree(out)) == ["train/Band 0 - Tüne/mixture.wav"]
    assert not (out / MARKER).exists()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\5\6" + bytes(18)])
def test_what_is_no_archive_or_empty_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    refuse(tmp_path / "a.zip", tmp_path, r"is damaged \(File is not a zip|holds no files")


def test_nothing_is_written_through_a_link_that_was_there(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train").symlink_to(elsewhere)
    archive = write_zip(tmp_path / "a.zip", song_files())
    with pytest.raises(DataError, match=r"out/train.*: is a link out of"):
        unpack(archive, tmp_path / "out", QUIET, sha256="abc")
    assert list(elsewhere.iterdir()) == []


def test_a_full_disk_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_zip(tmp_path / "a.zip", song_files())
    free = type("Usage", (), {"free": 1_000_000})()
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: free)
    refuse(archive, tmp_path, r"out: unpacking a\.zip needs 1\.8 MB, this disk has 1\.0 MB free")
    require_free_space({tmp_path: 1_000_000}, "that much")


def test_progress_is_told_in_megabytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = write_zip(tmp_path / "a.zip", song_files())
    unpack(archive, tmp_path, Console(), sha256="abc")
    assert "unpacking a.zip: 2/2 MB" in capsys.readouterr().err


def test_sizes_read_well() -> None:
    assert readable_bytes(999_960_000) == "1000.0 MB"
    assert readable_bytes(99) == "99 bytes"


def test_the_marker_names_every_file(tmp_path: Path) -> None:
    files = song_files()
    archive = write_zip(tmp_path / "a.zip", files)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    unpack(archive, tmp_path, QUIET, sha256=digest)
    marker = json.loads((tmp_path / MARKER).read_text())
    assert marker["archive_sha256"] == digest
    assert marker["files"] == {name: len(content) for name, content in files.items()}


def zip_entry(archive: Path) -> int:
    with zipfile.ZipFile(archive) as source:
        return source.infolist()[0].compress_size


def refuse(archive: Path, folder: Path, why: str) -> None:
    """Check that an archive is refused for a reason, and that no file came of it anywhere."""
    out = folder / "out"
    out.mkdir()
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError, match=why) as refusal:
        unpack(archive, out, QUIET, sha256="abc")
    assert "\n" not in str(refusal.value)
    assert sorted(folder.rglob("*")) == before
