"""What `--in` names, and where a command works without `--out`: never among the songs."""

import shutil
from pathlib import Path

import pytest
from helpers.small_songs import write_musdb_song
from typer.testing import CliRunner

from apollo_data.cli import app
from apollo_data.errors import DataError
from apollo_data.records import Track
from apollo_data.workspace.folder import WorkFolder, default_folder, is_work_folder, songs_of
from apollo_data.workspace.manifest import read_manifest

SMALL = """
name = "NAME"
[mixing]
clip_seconds = 0.5
[shards]
train_clips = 2
valid_clips = 0
[evaluation]
per_category = 0
"""


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Songs where `download` puts them; the commands run beside them."""
    monkeypatch.chdir(tmp_path)
    for name in ("train/A - B", "train/C - D", "test/E - F"):
        write_musdb_song(Path("data/raw/musdb18hq") / name, seconds=1.0)
    for name in ("paper", "raw"):
        Path(f"{name}.toml").write_text(SMALL.replace("NAME", name))
    return Path("data/raw")


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments), "-q", "-j", "1"])
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


def songs_in(work: str) -> list[str]:
    rows = read_manifest(Path(work) / "tracks.jsonl", "tracks", Track).rows
    return [row.song.partition("/")[2] for row in rows]


def state(folder: Path) -> list[tuple[str, int]]:
    return [(str(path), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))]


def test_the_readmes_own_way_with_real_data(raw: Path) -> None:
    before = state(raw)
    run("check", raw)
    write_musdb_song(raw / "musdb18hq/train/G - H", seconds=1.0)  # after the check
    added = state(raw)
    out = run("build-h5", "--config", "paper.toml", "--in", raw)
    assert "2 clips drawn, 0 rejected" in out
    assert songs_in("data/paper") == ["A - B", "C - D", "E - F", "G - H"]
    assert state(raw) == added
    assert {path for path, _ in before} <= {path for path, _ in added}
    assert songs_in("data/raw-work") == ["A - B", "C - D", "E - F"]


def test_a_working_folder_as_input_of_another(raw: Path) -> None:
    run("catalog", "--in", raw, "--out", "w1")
    run("build-h5", "--config", "paper.toml", "--in", "w1", "--out", "w2")
    assert songs_in("w2") == songs_in("w1")
    manifest = read_manifest(Path("w2/tracks.jsonl"), "tracks", Track)
    assert manifest.root.resolve() == raw.resolve()
    run("mix", "--config", "paper.toml", "--in", "w2/tracks.jsonl", "--out", "w3")
    assert len(list(Path("w2/shards").rglob("*.h5"))) == 1
    run("build-h5", "--config", "paper.toml", "--out", "w3", "--shards", "1/1")


def test_a_catalog_among_the_songs_makes_them_no_working_folder(raw: Path) -> None:
    run("catalog", "--in", raw, "--out", raw)  # as earlier versions' check did
    assert not is_work_folder(raw)
    write_musdb_song(raw / "musdb18hq/train/G - H", seconds=1.0)
    run("build-h5", "--config", "paper.toml", "--in", raw)
    assert "G - H" in songs_in("data/paper")
    (raw / "tracks.jsonl").write_text("somebody else's file\n")
    run("sad", "--in", raw, "--out", "w")
    assert "G - H" in songs_in("w")


def test_without_out_nothing_lies_among_the_songs(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_folder(Path("elsewhere/mine")) == Path("data/mine")
    assert default_folder(raw) == Path("data/raw-work")
    before = state(raw)
    run("build-h5", "--config", "raw.toml", "--in", raw)  # the pipeline's name is the folder's
    assert songs_in("data/raw-work") == ["A - B", "C - D", "E - F"]
    assert state(raw) == before
    monkeypatch.chdir(raw)
    refused = CliRunner().invoke(app, ["check", ".", "-q"])
    assert isinstance(refused.exception, DataError)
    assert "name one elsewhere with --out" in str(refused.exception)


def test_check_of_a_working_folder_checks_its_songs(raw: Path) -> None:
    run("catalog", "--in", raw, "--out", "w")
    assert songs_of(Path("w")).resolve() == raw.resolve()
    assert run("check", "w", "--no-listen").startswith("3 songs")
    assert WorkFolder.of(Path("w"), None, "tracks").path == Path("w")


def test_a_catalog_taken_as_it_is_tells_of_new_files_and_lost_songs(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("catalog", "--in", raw, "--out", "w")
    write_musdb_song(raw / "musdb18hq/train/G - H", seconds=1.0)
    done = CliRunner().invoke(app, ["sad", "--in", "w", "-q", "-j", "1"])
    assert "does not know 5 files" in done.stderr
    shutil.move(raw, "moved")
    lost = CliRunner().invoke(app, ["sad", "--in", "w", "-q", "-j", "1"])
    assert "if they have moved, run `catalog --in SONGS --out w`" in str(lost.exception)
    run("catalog", "--in", "moved", "--out", "w")
    run("sad", "--in", "w")


@pytest.mark.parametrize(
    "command", ["catalog --in", "sad --in", "mix --in", "check", "build-h5 --in"]
)
def test_a_typing_error_leaves_no_folder_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*command.split(), "nosuch"])
    assert "no such folder" in str(done.exception)
    assert list(tmp_path.iterdir()) == []
