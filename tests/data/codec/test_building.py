"""Codings of every kind from the pipeline file to the tables; and what fails, alone."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.built_shards import contents
from helpers.small_songs import small_settings
from typer.testing import CliRunner

from apollo_data.audio.files import Samples
from apollo_data.cli import app
from apollo_data.codec.round_trip import CodedClip, round_trip
from apollo_data.console import Console
from apollo_data.pipeline import build_h5
from apollo_data.records import Coding, MixRecipe
from apollo_data.settings import CodecSettings, Settings
from apollo_data.shards import ShardReader, find_shards, summarise_shard, verify_shards
from apollo_data.shards import clips as clips_module
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_manifest, write_manifest
from apollo_model.dataset import ShardDataset
from apollo_model.evaluation.score_systems import evaluate
from apollo_model.evaluation.tables import score_tables

QUIET = Console(quiet=True)
OTHERS = [
    {"codec": "mp3", "qualities": [0, 9]},
    {"codec": "mp3", "bitrates_kbps": [64], "lowpass": "off"},
    {"codec": "mp3", "bitrates_kbps": [64], "then": [{"codec": "aac", "bitrates_kbps": [96]}]},
    {"codec": "vorbis", "qualities": [2]},
]


def settings_of(**changes: object) -> Settings:
    values: dict[str, object] = {
        "mixing": {"clip_seconds": 0.5},
        "shards": {"train_clips": 16, "valid_clips": 2, "clips_per_shard": 16},
        "codec": {"variants": [{"codec": "opus", "bitrate_range_kbps": [32, 128]}, *OTHERS]},
        "evaluation": {"per_category": 1, "bitrates_kbps": [24, 64], "variants": OTHERS},
    }
    return small_settings(**{**values, **changes})


@pytest.fixture(scope="module")
def built(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> WorkFolder:
    work = WorkFolder.at(tmp_path_factory.mktemp("work"))
    report = build_h5(songs, work, settings_of(), 1, QUIET)
    assert report.rejected == 0
    return work


def test_shards_hold_what_was_drawn(built: WorkFolder) -> None:
    (train,) = find_shards(built.shards, "train")
    with ShardReader(train) as shard:
        assert 'codec = "opus"' in shard.settings
        drawn = [recipe.codings[0] for recipe in shard.recipes()]
        assert shard.codec_names.tolist() == [coding.codecs for coding in drawn]
        assert len(set(shard.codec_names)) >= 3
        for pair, coding in enumerate(drawn):
            asked = coding.steps[-1].requested_kbps
            assert math.isnan(shard.requested_kbps[pair]) == (asked is None)
            assert shard.coding(pair) == coding
            coded, clean = shard.read_pair(pair)
            assert np.corrcoef(coded[0], clean[0])[0, 1] > 0.5
    with ShardReader(find_shards(built.shards, "test")[0]) as shard:
        labels = [shard.coding(pair).label for pair in range(7)]
        assert labels[:2] == ["mp3 24", "mp3 64"]
        assert labels[2:] == ["mp3 q0", "mp3 q9", "mp3 64 no low-pass", "mp3 64 + aac 96",
                              "vorbis q2"]  # fmt: skip
        assert shard.actual_kbps[:2].tolist() == [24, 64]
        assert np.isfinite(shard.actual_kbps).all()


def test_shards_of_all_codecs_are_verified_and_summarised(built: WorkFolder) -> None:
    assert not [problems for _, problems in verify_shards(built.shards) if problems]
    summary = summarise_shard(find_shards(built.shards, "test")[0])
    assert sum(summary.bitrates.values()) == summary.pairs
    assert {"24=24", "64=64"} <= summary.bitrates.keys()
    names = {key.split("=")[0] for key in summary.bitrates}
    assert names == {"24", "64", "vbr", "mp3+aac 96", "vorbis vbr"}
    shown = CliRunner().invoke(app, ["inspect", str(built.shards), "--json"])
    assert shown.exit_code == 0, shown.output
    assert "NaN" not in shown.output
    assert len(json.loads(shown.stdout)) == 3


def test_a_range_of_bitrates_is_summarised_in_one_line(tmp_path: Path, songs: Path) -> None:
    work = WorkFolder.at(tmp_path / "work")
    settings = settings_of(
        mixing={"clip_seconds": 0.2},
        codec={"variants": [{"codec": "opus", "bitrate_range_kbps": [32, 128]}]},
        shards={"train_clips": 24, "valid_clips": 0, "clips_per_shard": 24},
        evaluation={"per_category": 0},
    )
    build_h5(songs, work, settings, 1, QUIET)
    (line,) = summarise_shard(find_shards(work.shards)[0]).bitrates.items()
    assert line[0].startswith("opus 3")
    assert ".." in line[0]
    assert line[1] == 24


def test_scores_tell_all_codings_apart(built: WorkFolder, tmp_path: Path) -> None:
    summary = evaluate({}, built.shards, tmp_path, QUIET)
    cases = summary["systems"]["codec"]["by_bitrate"]
    assert list(cases) == ["24", "64", "mp3 64 no low-pass", "mp3 q0", "mp3 q9",
                           "mp3 64 + aac 96", "vorbis q2"]  # fmt: skip
    assert {case["n"] for case in cases.values()} == {4}
    assert cases["mp3 q0"]["sdr"] > cases["mp3 q9"]["sdr"]
    assert cases["64"]["sdr"] > cases["mp3 64 + aac 96"]["sdr"]
    assert "NaN" not in (tmp_path / "summary.json").read_text()
    assert all(len(row) == 9 for row in next(score_tables(summary)).rows)
    dataset = ShardDataset(find_shards(built.shards, "test"))
    assert math.isnan(dataset.describe(2).requested_kbps)
    assert dataset.describe(2).coding == "mp3 q0"


def test_workers_and_company_change_nothing(built: WorkFolder, songs: Path, tmp_path: Path) -> None:
    build_h5(songs, WorkFolder.at(tmp_path / "two"), settings_of(), 2, QUIET)
    assert contents(tmp_path / "two") == contents(built.path)


def test_a_coding_that_fails_is_found_by_halving(
    built: WorkFolder, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = WorkFolder.at(tmp_path / "work")
    lenient = settings_of(
        codec={},
        shards={"train_clips": 16, "valid_clips": 0, "clips_per_shard": 16},
        evaluation={"per_category": 0},
        max_rejected_share=0.1,
    )
    build_h5(songs, work, lenient, 1, QUIET)
    plan = read_manifest(work.mixes, "mixes", MixRecipe)
    impossible = (Coding("vorbis", 8.0),)  # libvorbis refuses it
    rows = [
        MixRecipe(row.seed, row.index, row.split, row.category, row.stems, impossible, row.mixture)
        if row.index == 5
        else row
        for row in plan.rows
    ]
    write_manifest(work.mixes, "mixes", rows, plan.header.key, plan.root)
    batches: list[int] = []

    def counted(
        clips: Sequence[Samples], codings: Sequence[Coding], rate: int, settings: CodecSettings
    ) -> list[CodedClip]:
        batches.append(len(clips))
        return round_trip(clips, codings, rate, settings)

    monkeypatch.setattr(clips_module, "round_trip", counted)
    report = build_h5(songs, work, lenient, 1, QUIET)
    assert batches == [16, 8, 4, 4, 2, 1, 1, 2, 8]
    (row,) = [row for row in work.read_rejects() if row.stage == "build-h5"]
    assert row.detail == {"split": "train", "index": "5"}
    assert "ffmpeg failed" in row.reason
    assert report.rejected == 1
    assert sum(shard.targets for shard in report.shards) == 15
