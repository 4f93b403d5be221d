"""Each command of `apollo-data` against hostile arguments and inputs.

Never a traceback, never a hang, never exit status 0 without the work done, and nothing written
among the songs.
"""

import os
from pathlib import Path

import pytest
from helpers.hostile import (
    ODD_NAMES,
    Command,
    fresh,
    hostile_cases,
    run,
    what_is_wrong,
)
from helpers.small_songs import small_settings, write_musdb_song

from apollo_data.cli import app
from apollo_data.console import Console
from apollo_data.pipeline import build_h5
from apollo_data.workspace.folder import WorkFolder

TINY = """
[mixing]
clip_seconds = 0.5
[shards]
train_clips = 2
valid_clips = 0
[evaluation]
per_category = 0
"""
IN, OUT = ("--in", "{songs}"), ("--out", "{out}")
QUICK = ("-j", "1", "-q")

COMMANDS: dict[str, Command] = {
    "catalog": Command(("catalog", *IN, *OUT, *QUICK), ("songs",), ("out",)),
    "catalog with settings": Command(
        ("catalog", *IN, *OUT, "--config", "{config}", *QUICK), ("config",)
    ),
    "check": Command(("check", "{songs}", *OUT, "--no-listen", *QUICK), ("songs",), ("out",)),
    "sad": Command(("sad", *IN, *OUT, "--plot", "{plot}", *QUICK), ("songs",), ("out", "plot")),
    "mix": Command(
        ("mix", *IN, *OUT, "--config", "{config}", "--preview", "{count}", *QUICK),
        ("songs",),
        ("out",),
        ("count",),
    ),
    "build-h5": Command(
        ("build-h5", *IN, *OUT, "--config", "{config}", *QUICK), ("songs",), ("out",)
    ),
    "build-h5 in parts": Command(
        ("build-h5", *OUT, "--config", "{config}", "--shards", "{part}", *QUICK),
        ("out",),
        (),
        ("part",),
    ),
    "verify": Command(("verify", "{shards}", "-q"), ("shards",)),
    "inspect": Command(("inspect", "{shards}", "-q"), ("shards",)),
    "stats": Command(("stats", "{shards}", "--plot", "{out}", "-q"), ("shards",), ("out",)),
    "export": Command(
        ("export", "{shards}", "--layout", "pairs", *OUT, *QUICK), ("shards",), ("out",)
    ),
    "demo": Command(
        ("demo", *OUT, "--songs", "{count}", "--seconds", "{seconds}", *QUICK),
        (),
        ("out",),
        ("count", "seconds"),
    ),
    "download": Command(
        ("download", "musdb18hq", *OUT, "--archive", "{archive}", "--accept-licence", "-q"),
        ("archive",),
        ("out",),
    ),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A good value for every slot; outputs are named by each test."""
    folder = tmp_path_factory.mktemp("good")
    for name in ("train/A - B", "train/C - D", "test/E - F"):
        write_musdb_song(folder / "songs" / name, seconds=0.8)
    (folder / "tiny.toml").write_text(TINY)
    shards = {"train_clips": 2, "valid_clips": 0}
    settings = small_settings(
        mixing={"clip_seconds": 0.5}, shards=shards, evaluation={"per_category": 0}
    )
    build_h5(folder / "songs", WorkFolder.at(folder / "work"), settings, 1, Console(quiet=True))
    (folder / "archive.zip").write_bytes(b"no archive")
    return {
        "songs": str(folder / "songs"),
        "config": str(folder / "tiny.toml"),
        "shards": str(folder / "work"),
        "archive": str(folder / "archive.zip"),
        "count": "1",
        "seconds": "6",
        "part": "1/1",
    }


def state(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", COMMANDS)
def test_hostile_arguments_are_refused_in_one_line(
    name: str,
    good: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = COMMANDS[name]
    before = state(Path(good["songs"]))
    wrong = []
    for number, (slot, what, make) in enumerate(hostile_cases(command)):
        if (slot, what) == ("config", "empty file"):
            continue  # a pipeline that changes nothing
        folder = fresh(tmp_path / f"{number}")
        values = {**good, "out": str(folder / "result"), "plot": str(folder / "plots")}
        line = Command(command.words, values=values).line(slot, make(folder))
        if reason := what_is_wrong(run(app, line, capfd)):
            wrong.append(f"{slot}={what}: {reason}")
    assert wrong == []
    assert state(Path(good["songs"])) == before


@pytest.mark.parametrize("what", ODD_NAMES)
def test_odd_names_of_folders_work(
    what: str,
    good: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = tmp_path / ODD_NAMES[what]
    odd.mkdir()
    (odd / "songs").symlink_to(good["songs"])
    songs, work, config = str(odd / "songs"), str(odd / "work"), good["config"]
    for line in (
        ["check", songs, "--out", work, *QUICK],
        ["build-h5", "--in", songs, "--out", work, "--config", config, *QUICK],
        ["verify", work],
        ["inspect", work],
        ["stats", work],
        ["export", work, "--layout", "pairs", "--out", str(odd / "export"), *QUICK],
    ):
        ended = run(app, line, capfd)
        assert ended.status == 0, (line, ended)
    assert len(list((odd / "export/clean").iterdir())) == 2


def test_an_empty_path_variable_stops_no_command(
    good: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(os.environ, "PATH", "")
    monkeypatch.setitem(os.environ, "XDG_CACHE_HOME", str(tmp_path / "cache"))
    line = ["build-h5", "--in", good["songs"], "--out", str(tmp_path / "o")]
    ended = run(app, [*line, "--config", good["config"], *QUICK], capfd)
    assert ended.status == 0, ended
