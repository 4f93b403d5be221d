"""Where results go: checked before the work, whole or not there, and never two in one place."""

import errno
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import soundfile
from helpers.small_networks import loud_network
from helpers.small_songs import tone

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_model.restore import OutputFormat, RestoreOptions, restore
from apollo_model.restore.files import FAILED, RESTORED, SKIPPED, RestoreReport
from apollo_model.restore.formats import format_of_name
from apollo_model.restore.results import (
    is_done,
    record_of,
    recorded_result,
    remove_dead_partials,
)
from apollo_model.restore.tags import Tags

RATE = 44100


def song(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(os.fsencode(path), tone("place", 0.1), RATE, format="WAV")
    return path


def dry(inputs: list[Path], out: Path, form: str = "wav") -> RestoreReport:
    options = RestoreOptions(OutputFormat(form), dry_wet=0.0)
    return restore(inputs, out, loud_network(layers=1), options, Console())


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "aif", "mp3", "m4a", "ogg", "opus"])
def test_out_is_a_file_for_every_suffix_that_can_be_written(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"x.{suffix.upper()}"
    form = format_of_name(out)
    assert form is not None
    assert dry([song(tmp_path / "a.wav")], out, form).count(RESTORED) == 1
    assert out.is_file()
    head = out.read_bytes()[:12]
    marks = {"wav": b"RIFF", "flac": b"fLaC", "aiff": b"FORM", "m4a": b"ftyp", "ogg": b"OggS"}
    assert marks.get(form, b"") in head


@pytest.mark.parametrize("suffix", ["wma", "aac", "ape", "mp4", "mkv", "wv", "mp2"])
def test_other_suffixes_of_audio_are_refused_with_those_that_work(
    tmp_path: Path, suffix: str
) -> None:
    with pytest.raises(DataError, match=rf"\.{suffix} cannot be written; use one of \.wav, \.fl"):
        dry([song(tmp_path / "a.wav")], tmp_path / f"x.{suffix}")
    assert not (tmp_path / f"x.{suffix}").exists()


def test_one_file_name_for_several_results_is_refused(tmp_path: Path) -> None:
    one, two = song(tmp_path / "in" / "a.wav"), song(tmp_path / "in" / "b.wav")
    for inputs in ([one, two], [tmp_path / "in"]):
        with pytest.raises(DataError, match="several results would go there; name a folder"):
            dry(inputs, tmp_path / "x.wav")
    (tmp_path / "x.wav").mkdir()  # a folder, whatever it is called
    assert dry([one, two], tmp_path / "x.wav").count(RESTORED) == 2
    with pytest.raises(DataError, match=r"ends with \.wav, but the format is flac"):
        dry([one], tmp_path / "y.wav", "flac")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file/out.wav", "Not a directory|File exists"),
        (f"{'n' * 300}.wav", "File name too long|the name has 304 bytes, 255 are possible"),
        ("/proc/apollo/out.wav", "cannot be written"),
    ],
)
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr("apollo_model.restore.files.open_audio", None)  # not even begun
    (file,) = dry([song(tmp_path / "a.wav")], tmp_path / name).files
    assert file.status == FAILED
    assert any(part in file.reason for part in reason.split("|")), file.reason


def test_a_read_only_disk_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    monkeypatch.setattr("apollo_model.restore.files.open_audio", None)
    (file,) = dry([song(tmp_path / "a.wav")], tmp_path / "out.wav").files
    assert "out.wav: cannot be written (Read-only file system); choose another --out" in file.reason


def test_names_as_long_as_the_disk_takes(tmp_path: Path) -> None:
    source = song(tmp_path / "in" / f"{'ж' * 125}.wav")  # 254 bytes
    report = dry([source.parent], tmp_path / "out")
    assert report.count(RESTORED) == 1, report
    assert dry([source.parent], tmp_path / "out").count(SKIPPED) == 1
    assert len(list((tmp_path / "out").glob(".*.apollo.json"))) == 1


def test_one_bad_name_or_surprise_never_ends_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = os.fsdecode(b"caf\xe9.wav")
    forms = [unicodedata.normalize(form, "é.wav") for form in ("NFC", "NFD")]
    for name in (odd, "new\nline.wav", "plain.wav", *forms):
        song(tmp_path / "in" / name)
    report = dry([tmp_path / "in"], tmp_path / os.fsdecode(b"\xff"), "mp3")
    assert report.count(RESTORED) == 5, report
    report = dry([tmp_path / os.fsdecode(b"\xff")], tmp_path / "out", "flac")  # by ffmpeg
    assert report.count(RESTORED) == len(list((tmp_path / "in").iterdir())) == 5

    def surprise(path: Path) -> Tags:
        if path.name in (odd, "new\nline.wav"):
            raise ValueError("a library's own")
        return Tags({})

    monkeypatch.setattr("apollo_model.restore.files.read_tags", surprise)
    report = dry([tmp_path / "in"], tmp_path / "other")
    assert (report.count(RESTORED), report.count(FAILED)) == (3, 2)
    told = capsys.readouterr().err
    assert r"caf\xe9.wav: ValueError: a library's own" in told
    assert r"new\nline.wav" in told
    assert "Traceback" not in told


def test_folders_behind_links_are_restored_and_loops_end(tmp_path: Path) -> None:
    song(tmp_path / "elsewhere" / "b.wav")
    song(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "in")
    report = dry([tmp_path / "in"], tmp_path / "out")
    assert report.count(RESTORED) == 2
    assert (tmp_path / "out" / "linked" / "b.wav").is_file()


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    song(tmp_path / "in" / "a.wav")
    song(tmp_path / "in" / "closed" / "b.wav")
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    report = dry([tmp_path / "in"], tmp_path / "out")
    assert (report.count(RESTORED), report.count(FAILED)) == (1, 1)
    assert "closed: cannot be listed (Permission denied)" in capsys.readouterr().err


def test_two_results_that_are_one_file_on_this_disk(tmp_path: Path) -> None:
    """As on a disk that does not tell A from a."""
    song(tmp_path / "in" / "A.wav")
    song(tmp_path / "in" / "a.wav")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.flac").symlink_to("A.flac")
    for _ in range(2):
        report = dry([tmp_path / "in"], tmp_path / "out", "flac")
        (file,) = [file for file in report.files if file.status == FAILED]
        assert "are one file on this disk; restore the inputs one after the other" in file.reason
        assert Path(file.source).name == "a.wav"


def test_a_result_counts_as_done_only_when_it_is_the_new_one(tmp_path: Path) -> None:
    out = tmp_path / "a.wav"
    with recorded_result(out, "old") as temporary:
        temporary.write_bytes(b"old")
    assert is_done(out, "old")

    def stopped(when: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, when, lambda *_arguments: (_ for _ in ()).throw(OSError("killed")))
            with pytest.raises(OSError, match="killed"), recorded_result(out, "new") as temporary:
                temporary.write_bytes(b"new")

    for when in ("fsync", "replace"):
        stopped(when)
        assert out.read_bytes() == b"old"
        assert not is_done(out, "new")
    out.unlink()
    record_of(out).unlink()
    stopped("replace")
    assert list(tmp_path.iterdir()) == []


def test_partial_files_of_the_dead_are_removed_and_those_of_the_living_stay(
    tmp_path: Path,
) -> None:
    out = tmp_path / "a.wav"
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from apollo_model.restore.results import recorded_result\n"
        "with recorded_result(Path(sys.argv[1]), 'key'):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        others = [tmp_path / ".b.wav.abcd1234.partial", tmp_path / ".a.wav.partial"]
        for other in others:
            other.write_bytes(b"of somebody else")
        remove_dead_partials(out)
        assert len(list(tmp_path.glob(".a.wav.????????.partial"))) == 1
        process.kill()
    remove_dead_partials(out)
    assert set(tmp_path.iterdir()) == set(others)
