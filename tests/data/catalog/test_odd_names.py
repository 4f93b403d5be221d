"""Names of any bytes go through every stage, and every line that is printed."""

import os
from pathlib import Path

import pytest
import soundfile
from helpers.small_songs import RATE, small_settings, tone, write_moises_song, write_musdb_song
from typer.testing import CliRunner

from apollo_data.activity.timelines import draw_timelines
from apollo_data.cli import app
from apollo_data.console import Console
from apollo_data.pipeline import build_h5, prepare
from apollo_data.random_streams import stable_fraction
from apollo_data.shards import ShardReader, find_shards
from apollo_data.storage import key_of
from apollo_data.workspace.folder import WorkFolder

QUIET = Console(quiet=True)
NOT_UTF8 = os.fsdecode(b"Beyonc\xe9")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plain = tmp_path_factory.mktemp("songs") / "plain"
    odd = (f"{NOT_UTF8} - Tune", "two\nlines - Tune", "ж" * 100, "e\u0301 - e\u0301")
    places = {f"train/{number}": f"train/{name}" for number, name in enumerate(odd)}
    places |= {"test/4": f"test/{NOT_UTF8}2 - Tune", "m/5": f"m/{NOT_UTF8}"}
    for place in places:
        if place == "m/5":
            write_moises_song(plain / place, ("vocals", "drums"), seconds=1.5)
        else:
            write_musdb_song(plain / place, seconds=1.5)
    for side, suffix in (("clean", "wav"), ("degraded", "mp3")):
        (plain / "p" / side / "train").mkdir(parents=True)
        path = f"p/{side}/train/x.{suffix}"
        soundfile.write(plain / path, tone("t", 4.0), RATE)
        places[path] = f"p/{side}/train/{NOT_UTF8}.{suffix}"
    for place, name in places.items():  # libsndfile's Python package cannot write such names
        (plain / place).rename(plain / name)
    return plain.rename(plain.with_name(NOT_UTF8))


def test_a_build_reads_them_and_keeps_their_names(root: Path, tmp_path: Path) -> None:
    shards = {"train_clips": 6, "valid_clips": 0, "clips_per_shard": 50}
    settings = small_settings(
        mixing={"clip_seconds": 0.5}, shards=shards, evaluation={"per_category": 0}
    )
    work = WorkFolder.at(tmp_path / NOT_UTF8)
    report = build_h5(root, work, settings, 1, QUIET)
    assert report.rejected == 0
    assert work.read_rejects() == ()
    songs = set()
    for path in find_shards(work.shards):
        with ShardReader(path) as shard:
            songs |= {song for index in range(shard.targets) for song in shard.recipe(index).songs}
    assert any(NOT_UTF8 in song for song in songs)
    found = prepare(root, work, settings, 1, QUIET)
    draw_timelines(found.tracks, found.activities.rows, tmp_path / "plots", 1, QUIET)
    assert len(list((tmp_path / "plots").iterdir())) == 6


def test_commands_print_them(root: Path, tmp_path: Path) -> None:
    bad = root / "train" / f"{NOT_UTF8} - Tune/bass.wav"
    content = bad.read_bytes()
    bad.write_bytes(b"")
    try:
        arguments = ["check", str(root), "--out", str(tmp_path / "c"), "-j", "1"]
        done = CliRunner().invoke(app, arguments)
    finally:
        bad.write_bytes(content)
    assert type(done.exception).__name__ == "DataError"
    line = next(line for line in done.stdout.splitlines() if "bass.wav" in line)
    assert line.split()[:2] == ["files", "wrong"]


def test_keys_tell_names_apart() -> None:
    names = [NOT_UTF8, os.fsdecode(b"Beyonc\xe8"), "\ud800", "Beyonc\ufffd"]
    assert len({key_of(name) for name in names}) == 4
    assert len({stable_fraction(name) for name in names}) == 4
