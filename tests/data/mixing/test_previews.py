"""Previews: files to listen to, and the command that writes them."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.small_songs import RATE, small_settings
from typer.testing import CliRunner

from apollo_data.cli import app
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.mixing import render
from apollo_data.mixing.previews import Preview, pick_evenly, write_previews
from apollo_data.pipeline import plan_prepared, prepare
from apollo_data.records import CATEGORIES, MixRecipe, StemClip
from apollo_data.settings import settings_toml
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import from_json, read_manifest, write_manifest

FADED = round(0.01 * RATE)
SETTINGS = small_settings(
    mixing={"clip_seconds": 1.0007, "max_pan": 0.5, "normalise_lufs": -20.0},
    shards={"train_clips": 60, "valid_clips": 0},
)
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def planned(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a plan; read only."""
    work = WorkFolder.at(tmp_path_factory.mktemp("planned") / "work")
    found = prepare(songs, work, SETTINGS, 1, QUIET)
    plan_prepared(found, work, SETTINGS, QUIET)
    return work.path


@pytest.fixture
def work(planned: Path) -> WorkFolder:
    """The plan in a folder of its own, beside it, so that paths still lead to the songs."""
    copy = planned.parent / f"{planned.name}-{os.urandom(4).hex()}"
    shutil.copytree(planned, copy)
    return WorkFolder.at(copy)


def previews(work: WorkFolder, split: str, count: int, strict: bool = False) -> list[Preview]:
    about = (SETTINGS.sample_rate, split, count, work.reject_log(strict), QUIET)
    return write_previews(work.mixes, work.path / "previews", *about)


def expected(recipe: MixRecipe, root: Path) -> np.ndarray:
    target = render(recipe, root, RATE)
    return target / max(1.0, np.abs(target).max())


def test_previews_sound_like_their_recipes(work: WorkFolder, songs: Path) -> None:
    plan = read_manifest(work.mixes, "mixes", MixRecipe).rows
    written = previews(work, "train", 8)
    assert len(written) == 8
    for preview in written:
        recipe = from_json(MixRecipe, json.loads(preview.path.with_suffix(".json").read_text()))
        assert recipe == preview.recipe
        assert recipe in plan
        assert soundfile.info(preview.path).subtype == "PCM_16"
        heard, rate = soundfile.read(preview.path)
        target = expected(recipe, songs).T
        assert (rate, heard.shape) == (RATE, target.shape)
        inner = slice(FADED, -FADED)
        assert np.abs(heard[inner] * 32768 - target[inner] * 32767).max() <= 0.501
        assert np.abs(heard[[0, -1]]).max() < 0.01 * np.abs(target).max()
        fading = np.abs(heard[:FADED]) <= np.abs(target[:FADED]) + 1 / 32768
        assert fading.all()
    names = {preview.path.stem for preview in written}
    assert {path.stem for path in (work.path / "previews").iterdir()} == names


def test_only_what_would_clip_is_scaled(work: WorkFolder, songs: Path) -> None:
    clip = StemClip("s", "bass", "mus/test/Other Band - It's a Tüne/bass.wav", 1.0, 0.5, 0.0)
    clips = [dataclasses.replace(clip, gain_db=gain_db) for gain_db in (40.0, -20.0)]
    loud, soft = (
        MixRecipe(0, number, "train", "single_stem", (clip,), ())
        for number, clip in enumerate(clips)
    )
    write_manifest(work.mixes, "mixes", [loud, soft], "key", songs)
    peaks = [
        np.abs(soundfile.read(preview.path)[0]).max() for preview in previews(work, "train", 5)
    ]
    assert peaks[0] == 32767 / 32768
    assert peaks[1] == pytest.approx(np.abs(render(soft, songs, RATE)).max(), abs=1e-4)


def test_previews_are_spread_over_the_categories_as_far_as_these_go() -> None:
    def of(category: str, index: int) -> MixRecipe:
        return MixRecipe(0, index, "train", category, (), ())

    rare = [of("vocal", 90), of("single_stem", 91), of("single_stem", 92)]
    plan = [of("multi_stems", index) for index in range(50)] + rare
    picked = pick_evenly(plan, 6)
    assert [recipe.index for recipe in picked] == [0, 1, 2, 90, 91, 92]
    assert pick_evenly(plan, 100) == sorted(plan, key=lambda recipe: recipe.index)
    assert pick_evenly(plan, 1) == [of("vocal", 90)]
    assert pick_evenly([], 3) == []
    endless = (of(CATEGORIES[index % 4], index) for index in range(10**12))
    assert [recipe.index for recipe in pick_evenly(endless, 5)] == [0, 1, 2, 3, 4]


def test_a_clip_that_cannot_be_rendered_is_a_row_and_the_others_are_written(
    work: WorkFolder, songs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = StemClip("s", "bass", "mus/test/Other Band - It's a Tüne/bass.wav", 1.0, 0.5, 0.0)
    gone = dataclasses.replace(good, path="mus/gone.wav")
    plan = [
        MixRecipe(0, number, "train", "single_stem", (clip,), ())
        for number, clip in enumerate((good, gone, good))
    ]
    write_manifest(work.mixes, "mixes", plan, "key", songs)
    written = previews(work, "train", 3)
    assert [preview.recipe.index for preview in written] == [0, 2]
    (row,) = work.read_rejects()
    assert (row.stage, row.path) == ("preview", "previews/train-00001-single_stem.wav")
    assert "gone.wav: no such file" in row.reason
    assert row.detail == {"split": "train", "index": "1"}
    assert "warning: no preview of previews/train-00001" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"gone\.wav: no such file \(strict"):
        previews(work, "train", 3, strict=True)
    write_manifest(work.mixes, "mixes", [plan[0]], "key", songs)
    previews(work, "train", 3)
    assert work.read_rejects() == ()


def test_earlier_previews_go_and_other_files_stay(work: WorkFolder) -> None:
    first = previews(work, "train", 8)
    other = previews(work, "test", 4)
    own = work.path / "previews" / "train-notes.txt"
    own.write_text("mine")
    fewer = previews(work, "train", 2)
    assert len(fewer) == 2 < len(first)
    kept = {preview.path.stem for preview in [*fewer, *other]} | {"train-notes"}
    assert {path.stem for path in own.parent.iterdir()} == kept


def test_a_failure_leaves_no_half_file(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        previews(work, "train", 2)
    assert not list((work.path / "previews").iterdir())


def test_a_split_without_recipes_is_said_so(work: WorkFolder) -> None:
    with pytest.raises(DataError, match=r"mixes\.jsonl: holds no recipes of split 'valid'"):
        previews(work, "valid", 2)


@pytest.mark.parametrize(
    ("options", "status", "shown"),
    [
        (["--preview", "4", "--split", "test"], 0, "test-00000-vocal.wav"),
        (["--preview", "2", "--split", "valid"], 1, "holds no recipes of split 'valid'"),
        (["--preview", "0"], 2, "--preview"),
        (["--preview", "2", "--split", "other"], 2, "--split"),
    ],
)
def test_the_command(work: WorkFolder, options: list[str], status: int, shown: str) -> None:
    (work.path / "small.toml").write_text(settings_toml(SETTINGS))
    arguments = ["mix", "--in", str(work.path), "--config", str(work.path / "small.toml")]
    done = CliRunner().invoke(app, [*arguments, *options], env={"COLUMNS": "200"})
    if status == 1:
        assert isinstance(done.exception, DataError)
        assert shown in str(done.exception)
        return
    assert done.exit_code == status
    assert shown in done.output
    if status == 0:
        assert len(list((work.path / "previews").glob("*.wav"))) == 4
        assert "vocals" in done.output
        assert "pan" not in done.output  # the test split has rules of its own
