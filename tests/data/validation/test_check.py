"""`check`: whole sets pass, and each thing that can be wrong with one is found."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.small_songs import RATE, tone, write_moises_song, write_musdb_song
from typer.testing import CliRunner

from apollo_data.cli import app
from apollo_data.console import Console
from apollo_data.pipeline import build_h5
from apollo_data.settings import Settings
from apollo_data.settings import facts as committed
from apollo_data.storage import write_text
from apollo_data.validation.check import CheckReport, check_data, write_exclusions
from apollo_data.validation.fingerprints import find_doubles, fingerprint
from apollo_data.workspace.folder import WorkFolder

QUIET = Console(quiet=True)


def check(root: Path, out: Path, expected: Sequence[str] = (), listen: bool = False) -> CheckReport:
    return check_data(root, WorkFolder.at(out), Settings(), expected, listen, 1, QUIET)


def problems(report: CheckReport) -> dict[str, str]:
    return {finding.path: finding.problem for finding in report.findings if finding.wrong}


def test_good_songs_pass(songs: Path, tmp_path: Path) -> None:
    report = check(songs, tmp_path, listen=True)
    assert report.wrong == 0
    assert report.songs == {"train": 3, "valid": 2, "test": 2}
    assert report.hours == pytest.approx(7 * 8 / 3600, abs=1e-3)


def test_an_official_set_must_be_complete(tmp_path: Path) -> None:
    names = sorted(committed.official_names("musdb18hq"))
    assert len(names) == 150
    root = tmp_path / "set"
    for name in names[:3]:
        write_musdb_song(root / "train" / name, seconds=0.2)
    write_musdb_song(root / "train" / "Our Own - Song", seconds=0.2)
    report = check(root, tmp_path / "out")
    wrong = [finding.problem for finding in report.findings if finding.wrong]
    assert wrong[0].startswith(f"147 official songs are missing: {names[3]}, {names[4]}")
    assert "has 4 songs, expected 150" in wrong
    notes = [finding.problem for finding in report.findings if not finding.wrong]
    assert "1 songs are none of its own" in notes
    moises = tmp_path / "moises"
    write_moises_song(moises / "u", ("vocals",), seconds=0.2)
    assert check(moises, tmp_path / "out2").wrong == 0
    assert problems(check(moises, tmp_path / "out2", ["moisesdb"])) == {
        "moisesdb": "has 1 songs, expected 240"
    }


def test_all_names_but_other_lengths_are_told(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for split in ("train", "valid", "test"):
        folder = root / "train" / f"one of {split}"
        write_musdb_song(folder, seconds=0.2)
        half = "test" if split == "test" else "train"
        for name in committed.official_songs("musdb18hq", split):
            (root / half / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder, root / half / name, copy_function=shutil.copyfile)
        shutil.rmtree(folder)
    report = check(root, tmp_path / "out")
    assert problems(report) == {"musdb18hq": "lasts 0.01 h, expected 10.00 h"}
    assert report.songs == {"train": 86 - 4, "valid": 14, "test": 50}


def test_what_was_unpacked_must_still_be_there(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    write_moises_song(root / "mine" / "u", ("vocals", "bass"), seconds=0.2)
    files = {
        path.relative_to(root / "mine").as_posix(): path.stat().st_size
        for path in (root / "mine").rglob("*.wav")
    }
    sizes = {**files, "u/readme.txt": 5, "u/bass/bass-0.wav": 12}
    write_text(root / "mine" / ".unpacked.json", json.dumps({"files": sizes}))
    assert problems(check(root, tmp_path / "out")) == {
        "mine/u/readme.txt": "was in the archive and is missing",
        "mine/u/bass/bass-0.wav": f"has {files['u/bass/bass-0.wav']} bytes, had 12 in the archive",
    }


def test_an_artist_on_both_sides_is_found_where_splits_are_by_song(tmp_path: Path) -> None:
    for name in ("train/Same Band - A", "test/Same Band - B", "train/Leaf - Summerghost"):
        write_musdb_song(tmp_path / "s" / name, seconds=0.2)
    by_song = Settings(catalog={"split_by": "song"})
    work = WorkFolder.at(tmp_path / "out")
    report = check_data(tmp_path / "s", work, by_song, (), False, 1, QUIET)
    (finding,) = [item for item in report.findings if item.check == "splits"]
    assert finding.path == "musdb18hq/Same Band - A"
    assert "'Same Band' is in the test set too" in finding.problem
    assert not [f for f in check(tmp_path / "s", tmp_path / "o2").findings if f.check == "splits"]


def test_levels_are_worth_a_note(tmp_path: Path) -> None:
    silence = np.zeros((RATE, 2), np.float32)
    loud = np.clip(20 * tone("x", 1.0), -1, 1)
    write_musdb_song(tmp_path / "s" / "A - B", seconds=1.0, bass=silence, drums=loud)
    write_musdb_song(tmp_path / "s" / "A - C", seconds=1.0, other=tone("o", 1.0) + 0.1)
    report = check(tmp_path / "s", tmp_path / "out")
    notes = {finding.path: finding.problem for finding in report.findings}
    assert report.wrong == 0
    assert notes["A - B/bass.wav"] == "is silent from end to end"
    assert notes["A - B/drums.wav"].endswith("of its samples are at full scale")
    assert notes["A - C/other.wav"].startswith("has a DC offset of 0.100")


def test_the_same_recording_under_another_name_is_found_and_excluded(
    own_songs: Path, tmp_path: Path
) -> None:
    root = own_songs
    twin = root / "moises" / "someone-elses"
    write_moises_song(twin, ("vocals",))
    mixture, rate = soundfile.read(root / "mus/test/Other Band - It's a Tüne/mixture.wav")
    later = np.concatenate([np.zeros((4321, 2)), 0.3 * mixture])
    soundfile.write(twin / "vocals/vocals-0.wav", later, rate)
    out = tmp_path / "out"
    report = check(root, out, listen=True)
    (finding,) = [finding for finding in report.findings if finding.wrong]
    assert (finding.check, finding.path) == ("doubles", "moisesdb/someone-elses")
    assert "is the same recording as musdb18hq/Other Band - It's a Tüne (test)" in finding.problem
    work = WorkFolder.at(out)
    assert write_exclusions(report, work) == 1
    again = check(root, out, listen=True)
    assert again.wrong == 0
    assert sum(again.songs.values()) == 7
    strict = Settings(strict=True, shards={"train_clips": 2, "valid_clips": 1})
    few = strict.model_copy(
        update={"evaluation": strict.evaluation.model_copy(update={"per_category": 0})}
    )
    build_h5(root, work, few, 1, QUIET)  # what the user has excluded does not end a strict run
    assert "someone-elses" not in work.mixes.read_text()
    assert write_exclusions(again, work) == 0


def test_copies_share_hashes_at_one_distance_and_others_do_not(tmp_path: Path) -> None:
    sound = np.concatenate([tone(name, 4.0) for name in "abcd"])
    noise = np.random.default_rng(0).normal(0, 0.01, sound.shape)
    copies = {
        "quiet": 0.05 * sound,
        "later": np.concatenate([np.zeros((2 * RATE, 2)), sound]),
        "part": sound[5 * RATE : 12 * RATE],
        "noisy": sound + noise,
        "another": np.concatenate([tone(name, 4.0) for name in "efgh"]),
    }
    soundfile.write(tmp_path / "original.wav", sound, RATE)
    prints = [fingerprint([tmp_path / "original.wav"], len(sound) / RATE)]
    for name, copy in copies.items():
        soundfile.write(tmp_path / f"{name}.wav", copy, RATE, subtype="FLOAT")
        prints.append(fingerprint([tmp_path / f"{name}.wav"], len(copy) / RATE))
    shifts = {double.second: double.shift_seconds for double in find_doubles(prints)
              if double.first == 0}  # fmt: skip
    assert set(shifts) == {1, 2, 3, 4}
    assert shifts[1] == shifts[4] == 0.0
    assert shifts[2] == pytest.approx(2.0, abs=0.06)
    assert shifts[3] == pytest.approx(-5.0, abs=0.06)


def test_silence_has_no_fingerprint_and_no_double(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "s.wav", np.zeros((RATE, 2)), RATE)
    silent = fingerprint([tmp_path / "s.wav"], 1.0)
    assert len(silent.hashes) == 0
    assert find_doubles([silent, silent]) == []


def test_the_command_prints_a_table_or_json_and_ends_with_1(tmp_path: Path) -> None:
    write_musdb_song(tmp_path / "s" / "A - B", seconds=0.5)
    (tmp_path / "s/A - B/bass.wav").write_bytes(b"RIFF")
    arguments = ["check", str(tmp_path / "s"), "--out", str(tmp_path / "o"), "-j", "1", "-q"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 1
    assert "files   wrong   A - B/bass.wav" in shown.output
    values = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert values["wrong"] == 1
    assert values["findings"][0]["exclude"] == ["A - B/bass.wav"]
    fixed = CliRunner().invoke(app, [*arguments, "--fix"])
    assert fixed.exit_code == 0
    assert "excluded" not in fixed.stderr


def test_pairs_are_checked_too(tmp_path: Path) -> None:
    root = tmp_path / "pairs"
    for name, other in (("a", "a"), ("b", "not b")):
        for side, sound in (("clean", tone(name, 6.0)), ("degraded", 0.5 * tone(other, 6.0))):
            (root / side / "train").mkdir(parents=True, exist_ok=True)
            soundfile.write(root / side / "train" / f"{name}.wav", sound, RATE)
    write_musdb_song(root / "songs/test/X - Y", seconds=6.0)
    soundfile.write(root / "songs/test/X - Y/mixture.wav", tone("a", 6.0), RATE)
    report = check(root, tmp_path / "out", listen=True)
    wrong = {finding.path: finding for finding in report.findings if finding.wrong}
    assert set(wrong) == {"degraded/train/b.wav", "paired/degraded/train/a.wav"}
    assert "does not match its clean side" in wrong["degraded/train/b.wav"].problem
    assert "same recording as musdb18hq/X - Y" in wrong["paired/degraded/train/a.wav"].problem
    work = WorkFolder.at(tmp_path / "out")
    assert write_exclusions(report, work) == 2
    assert check(root, tmp_path / "out", listen=True).wrong == 0
