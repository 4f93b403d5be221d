"""A corpus of bad audio files in both layouts: the run goes on, and nothing goes missing."""

import json
from pathlib import Path

import pytest
from helpers.bad_audio import KINDS
from helpers.small_songs import small_settings, write_moises_song, write_musdb_song

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.pipeline import build_h5
from apollo_data.records import MixRecipe, Track
from apollo_data.settings import Settings
from apollo_data.sources.artists import split_by_hash
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_manifest

QUIET = Console(quiet=True)
MUSDB_STEMS = ("drums", "bass", "other", "vocals")
MOISES_CLASSES = ("drums", "piano", "vocals")


def moises_name(number: int) -> str:
    """A folder name of a training song."""
    names = (f"{number:08d}-{salt}" for salt in range(1000))
    return next(name for name in names if split_by_hash(f"moisesdb/{name}") == "train")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One song a kind in each layout, one file of it bad, and a few songs without fault."""
    root = tmp_path_factory.mktemp("corpus")
    for number, (kind, write) in enumerate(KINDS.items()):
        song = root / "mus/train" / f"Band {kind} - Tune"
        write_musdb_song(song, seconds=2.0)
        stem = song / f"{MUSDB_STEMS[number % 4]}.wav"
        stem.unlink()
        write(stem)
        song = root / "moises" / moises_name(number)
        write_moises_song(song, MOISES_CLASSES, seconds=2.0)
        source = song / "drums" / f"drums-{number % 2}.wav"
        source.unlink()
        write(source)
    for split in ("train", "test"):
        for number in range(2):
            write_musdb_song(root / f"mus/{split}/Good {split} {number} - Tune", seconds=2.0)
    return root


def corpus_settings(**changes: object) -> Settings:
    shards = {"train_clips": 300, "valid_clips": 12, "clips_per_shard": 100}
    return small_settings(
        shards=shards,
        max_rejected_share=0.5,
        mixing={"clip_seconds": 0.5, "whole_mixture_share": 0.2},
        **changes,
    )


def test_there_are_kinds_enough() -> None:
    assert len(KINDS) >= 25


@pytest.fixture(scope="module")
def built(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> WorkFolder:
    work = WorkFolder.at(tmp_path_factory.mktemp("built"))
    assert build_h5(corpus, work, corpus_settings(), 2, QUIET).rejected == 0
    return work


def test_each_bad_file_is_rejected_with_a_reason(built: WorkFolder) -> None:
    rows = {row.path: row.reason for row in built.read_rejects()}
    for number, kind in enumerate(KINDS):
        stem = f"mus/train/Band {kind} - Tune/{MUSDB_STEMS[number % 4]}.wav"
        assert rows.pop(stem), kind
        source = f"moises/{moises_name(number)}/drums/drums-{number % 2}.wav"
        assert rows.pop(source), kind
    assert rows == {}
    assert not any("\n" in row.reason for row in built.read_rejects())


def test_every_good_stem_is_kept_and_every_song_used(built: WorkFolder) -> None:
    tracks = read_manifest(built.tracks, "tracks", Track).rows
    assert len(tracks) == 2 * len(KINDS) + 4
    for track in tracks:
        good = track.title == "Tune" and track.artist.startswith("Good")
        expected = {"musdb18hq": 4 if good else 3, "moisesdb": 2}[track.source]
        assert len(track.stems) == expected, track.song
    recipes = read_manifest(built.mixes, "mixes", MixRecipe).rows
    used = {song for recipe in recipes for song in recipe.songs}
    assert used == {track.song for track in tracks}


def test_what_was_seen_is_remembered(built: WorkFolder, corpus: Path) -> None:
    before = (built.path / "files.jsonl").read_bytes()
    rows = [json.loads(line) for line in before.splitlines()[1:]]
    assert {"peak", "rms_dbfs", "clipped_share", "dc_offset", "silent_share"} == set(
        next(row for row in rows if "levels" in row)["levels"]
    )
    build_h5(corpus, built, corpus_settings(), 1, QUIET)
    assert (built.path / "files.jsonl").read_bytes() == before


def test_strict_ends_at_the_first(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="strict: nothing may be left out"):
        build_h5(corpus, WorkFolder.at(tmp_path), corpus_settings(strict=True), 1, QUIET)
    assert not (tmp_path / "shards").exists()


def test_more_than_the_allowed_share_is_an_error_after_the_work_is_done(
    built: WorkFolder, corpus: Path
) -> None:
    settings = corpus_settings().model_copy(update={"max_rejected_share": 0.05})
    with pytest.raises(DataError, match=r"rejects\.jsonl: 76 of \d+ files were rejected"):
        build_h5(corpus, built, settings, 1, QUIET)
    assert built.shard_list.is_file()
