"""What was detected is kept, whatever ends the run: a stem is heard once."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import soundfile
from helpers.small_songs import RATE, small_settings, tone, write_moises_song, write_musdb_song

from apollo_data.activity.detect import DETECTORS, HEEDED
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.pipeline import prepare
from apollo_data.settings import ActivitySettings
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_header

STEMS = 16
PROGRAM = "from apollo_data.cli import main; main()"
SAVES_AT_ONCE = (
    f"from apollo_data.workspace import progress; progress.SAVE_SECONDS = 0.0; {PROGRAM}"
)
HEARS_SLOWLY = f"""
import time
from apollo_data.activity import detect as detectors
detect = detectors.detect
detectors.detect = lambda *heard: (time.sleep(0.1), detect(*heard))[1]
{SAVES_AT_ONCE}"""


def write_songs(root: Path) -> Path:
    """Sixteen stems of a second, one of two files; all of one time, and many of one size."""
    for number in range(3):
        late = tone(f"late {number}", 1.0)
        late[: RATE // 2] = 0.0
        write_musdb_song(root / f"train/Band {number} - Tune {number}", seconds=1.0, bass=late)
    classes = ("vocals", "drums", "bass", "wind")
    write_moises_song(root / "00000000-0000-4000-8000-000000000010", classes, seconds=1.0)
    for file in root.rglob("*.wav"):
        os.utime(file, ns=(1, 1))
    return root


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small songs; read only."""
    return write_songs(tmp_path_factory.mktemp("kept") / "songs")


def start(songs: Path, out: Path, *options: str, program: str = PROGRAM) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, "sad", "--in", str(songs), "--out", str(out), *options],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> list[str]:
    """Return what a run that ends well has to say about the activity."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return [line for line in errors.splitlines() if line.startswith("activity: ")]


def rows_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]] if path.exists() else []


def end_when(
    process: "subprocess.Popen[str]", part: Path, rows: int, kind: int = signal.SIGKILL
) -> int:
    """End a run once it has kept so many stems; return how many it has kept in the end."""
    deadline = time.monotonic() + 60
    while len(rows_in(part)) < rows and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, kind)
    process.communicate()
    assert process.returncode == (130 if kind == signal.SIGINT else -kind)
    return len(rows_in(part))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Told(Console):
    """Keeps what is said about the activity."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        if text.startswith("activity: "):
            self.notes.append(text.removeprefix("activity: "))


def heard(source: Path, out: Path, workers: int = 1, **changes: object) -> tuple[list[str], bytes]:
    """Detect in this process; return what is said, and activity.jsonl."""
    told, work = Told(), WorkFolder.at(out)
    prepare(source, work, small_settings(**changes), workers, told)
    assert not work.activity_files.part.exists()
    return told.notes, work.activity.read_bytes()


def some_known(new: int, of: int = STEMS, why: str = "") -> list[str]:
    reason = f" ({why})" if why else ""
    return [f"{new} of {of} stems detected, the others were known{reason}"]


@pytest.fixture(scope="module")
def undisturbed(songs: Path) -> bytes:
    """activity.jsonl of a run on two processes that nothing disturbed."""
    return heard(songs, songs.parent / "undisturbed", workers=2)[1]


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_with_the_stems_that_are_missing(
    songs: Path, undisturbed: bytes, kind: signal.Signals
) -> None:
    out = songs.parent / f"ended by {kind.name}"
    process = start(songs, out, "-j", "1", program=HEARS_SLOWLY)
    kept = end_when(process, out / "activity.part.jsonl", 5, kind)
    assert 5 <= kept < STEMS
    assert not (out / "activity.jsonl").exists()
    again = finish(start(songs, out, "-j", "1"))
    assert f"activity: {STEMS - kept}/{STEMS - kept} stems" in again[0]
    assert again[1:] == [f"activity: {some_known(STEMS - kept)[0]}"]
    assert (out / "activity.jsonl").read_bytes() == undisturbed
    catalog = [stem["path"] for row in rows_in(out / "tracks.jsonl") for stem in row["stems"]]
    assert [row["path"] for row in rows_in(out / "activity.jsonl")] == catalog
    named = {"tracks.jsonl", "files.jsonl", "activity.jsonl", "rejects.jsonl", ".lock"}
    assert names(out) == named


def test_killed_at_any_moment_on_any_number_of_processes_it_ends_the_same(
    songs: Path, undisturbed: bytes
) -> None:
    chance, out = random.Random(3), songs.parent / "killed often"
    for workers in ("1", "2", "1", "2"):
        process = start(songs, out, "-j", workers, program=SAVES_AT_ONCE)
        lock, deadline = out / ".lock", time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if lock.exists() and lock.read_text().startswith(f"process {process.pid} "):
                break
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.3))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finish(start(songs, out, "-j", "2"))
    assert (out / "activity.jsonl").read_bytes() == undisturbed
    assert not [name for name in names(out) if "part" in name]


def test_a_file_elsewhere_is_resumed_too_and_nothing_lies_beside_it(songs: Path) -> None:
    work, out = songs.parent / "elsewhere", songs.parent / "mine" / "energy.jsonl"
    heard(songs, work, activity={"detector": "upstream"})
    before = names(work)
    options = ("-j", "1", "--detector", "energy")
    kept = end_when(start(work, out, *options, program=HEARS_SLOWLY), work / "energy.part.jsonl", 3)
    again = finish(start(work, out, *options))
    assert again[1:] == [f"activity: {some_known(STEMS - kept)[0]}"]
    assert names(work) == before | {".lock"}
    assert names(out.parent) == {"energy.jsonl", "rejects.jsonl"}
    assert {row["detector"] for row in rows_in(out)} == {"energy"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"onset_db": -39.0}, ["detected anew (activity.onset_db changed)"]),
        (
            {"silero": {"quiet_onset_db": -43.0}},  # asked about vocals only
            some_known(4, why="activity.silero.quiet_onset_db changed"),
        ),
        (
            {"pydub": {"threshold_db": -20.0}},  # not asked at all
            some_known(0, why="activity.pydub.threshold_db changed"),
        ),
        ({"detector": "energy"}, some_known(4, why="activity.detector changed")),
    ],
)
def test_a_changed_setting_detects_what_heeds_it(
    songs: Path, tmp_path: Path, change: dict[str, object], said: list[str]
) -> None:
    heard(songs, tmp_path / "out")
    notes, changed = heard(songs, tmp_path / "out", activity=change)
    assert notes == said
    assert changed == heard(songs, tmp_path / "fresh", activity=change)[1]


@pytest.mark.parametrize("detector", ["energy", "silero", "pydub", "upstream"])
def test_a_changed_file_or_a_new_song_costs_its_own_stems(tmp_path: Path, detector: str) -> None:
    songs, out, activity = write_songs(tmp_path / "songs"), tmp_path / "out", {"detector": detector}

    def now() -> list[str]:
        notes, found = heard(songs, out, activity=activity)
        assert (
            found == heard(songs, tmp_path / f"fresh {len(names(tmp_path))}", activity=activity)[1]
        )
        return notes

    now()
    shorter = tone("another", 0.8)
    soundfile.write(songs / "train/Band 1 - Tune 1/bass.wav", shorter, RATE, subtype="PCM_16")
    assert now() == some_known(1, why="the catalog changed")
    source = next((songs / "00000000-0000-4000-8000-000000000010/drums").iterdir())
    soundfile.write(source, tone("another source", 1.0), RATE, subtype="PCM_16")
    assert now() == some_known(1, why="the catalog changed")
    write_musdb_song(songs / "train/A Band - First", seconds=1.0)
    assert now() == some_known(4, STEMS + 4, "the catalog changed")
    shutil.rmtree(songs / "train/Band 0 - Tune 0")
    assert now() == some_known(0, STEMS, "the catalog changed")


def test_a_stem_that_failed_is_tried_again(tmp_path: Path) -> None:
    songs, work = write_songs(tmp_path / "songs"), WorkFolder.at(tmp_path / "out")
    whole = heard(songs, tmp_path / "whole")[1]
    victim = songs / "train/Band 1 - Tune 1/bass.wav"
    good, times = victim.read_bytes(), (victim.stat().st_atime_ns, victim.stat().st_mtime_ns)
    heard(songs, tmp_path / "only its catalog")
    catalog = tmp_path / "only its catalog" / "tracks.jsonl"
    victim.write_bytes(b"\0" * len(good))  # behind the catalog's back
    os.utime(victim, ns=times)
    with pytest.raises(DataError, match=r"bass\.wav: .*strict: nothing may be left out"):
        heard(catalog, work.path, strict=True)
    kept = len(rows_in(work.activity_files.part))
    assert 0 < kept < STEMS - 1
    assert heard(catalog, work.path)[0] == some_known(STEMS - kept)
    assert [row.stage for row in work.read_rejects()] == ["sad"]
    left_out = read_header(work.activity).key
    assert heard(catalog, work.path)[0] == some_known(1, why="to try what was left out")
    assert read_header(work.activity).key == left_out
    with pytest.raises(DataError, match=r"bass\.wav: .*strict: nothing may be left out"):
        heard(catalog, work.path, strict=True)
    victim.write_bytes(good)
    os.utime(victim, ns=times)
    notes, found = heard(catalog, work.path, strict=True)
    assert notes == some_known(1, why="to try what was left out")
    assert found == whole
    assert read_header(work.activity).key != left_out  # so that the plan is drawn anew
    assert work.read_rejects() == ()
    assert heard(catalog, work.path)[0] == ["nothing to do"]


@pytest.mark.parametrize("damage", ["empty", "cut", "noise", "headless", "no rows"])
def test_a_damaged_journal_is_worth_nothing_and_does_no_harm(
    songs: Path, tmp_path: Path, undisturbed: bytes, damage: str
) -> None:
    out = songs.parent / f"damaged {damage}"
    part = WorkFolder.at(out).activity_files.part
    out.mkdir()
    header, *rows = undisturbed.splitlines(keepends=True)
    part.write_bytes(
        {
            "empty": b"",
            "cut": header + rows[0] + rows[1][: len(rows[1]) // 2],
            "noise": header + rows[0] + np.random.default_rng(0).bytes(400) + rows[1],
            "headless": b"".join(rows),
            "no rows": header + b"[1]\n7\n",
        }[damage]
    )
    left = out / ".activity.part.jsonl.x1.partial"  # of a kill in the midst of a write
    left.write_bytes(rows[0])
    with WorkFolder.at(out).lock():
        notes, found = heard(songs, out)
    assert notes == []
    assert found == undisturbed
    assert not left.exists()


def test_a_folder_of_an_earlier_version_holds_until_something_changes(
    songs: Path, tmp_path: Path, undisturbed: bytes
) -> None:
    out = songs.parent / "earlier"
    heard(songs, out)
    path = out / "activity.jsonl"
    header = undisturbed.splitlines(keepends=True)[0].decode()
    rows = [{name: row[name] for name in row if name != "key"} for row in rows_in(path)]
    path.write_text(header + "".join(json.dumps(row) + "\n" for row in rows))
    earlier = path.read_bytes()
    assert heard(songs, out) == (["nothing to do"], earlier)
    path.write_text(path.read_text().replace(read_header(path).key, "another"))
    assert heard(songs, out)[1] == undisturbed


def test_nothing_is_written_where_there_is_nothing_to_do(songs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    heard(songs, out)
    work = WorkFolder.at(out)

    def state() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (out, *out.iterdir())}

    before = state()
    assert heard(work.tracks, out)[0] == ["nothing to do"]
    assert state() == before


class Watched:
    """Settings that remember what they were asked for."""

    def __init__(self, settings: pydantic.BaseModel, asked: set[str], prefix: str = "") -> None:
        self._settings, self._asked, self._prefix = settings, asked, prefix

    def __getattr__(self, name: str) -> object:
        value = getattr(self._settings, name)
        if isinstance(value, pydantic.BaseModel):
            return Watched(value, self._asked, f"{self._prefix}{name}.")
        self._asked.add(self._prefix + name)
        return value


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_heeds_the_settings_that_it_names_and_no_others(
    tmp_path: Path, name: str
) -> None:
    doubtful = tone("a", 4.0)
    doubtful[: 2 * RATE] = 0.0
    doubtful[RATE // 2 : RATE] = tone("b", 0.5) * 10 ** (-42 / 20)  # silero is asked about it
    soundfile.write(tmp_path / "a.wav", doubtful, RATE)
    asked: set[str] = set()
    DETECTORS[name]([tmp_path / "a.wav"], "vocals", Watched(ActivitySettings(), asked))
    named = ActivitySettings().model_dump(include=HEEDED[name])
    leaves = {
        f"{key}.{inner}" if inner else key
        for key, value in named.items()
        for inner in (value if isinstance(value, dict) else [""])
    }
    assert asked == leaves
