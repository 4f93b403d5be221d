import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.small_songs import (
    MOISES_SONGS,
    RATE,
    small_settings,
    tone,
    write_moises_song,
    write_musdb_song,
)

from apollo_data.audio.scan_file import scan_file
from apollo_data.catalog.find_songs import read_catalog
from apollo_data.catalog.source import catalog_songs
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.pipeline import build_h5
from apollo_data.records import STEM_CLASSES, MixRecipe, Rejection
from apollo_data.settings import CatalogSettings
from apollo_data.settings import facts as committed
from apollo_data.sources.artists import split_by_hash
from apollo_data.sources.exclusions import Exclusions
from apollo_data.storage import sha256_file
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_manifest
from apollo_data.workspace.reject_log import RejectLog, by_choice


def test_both_layouts_are_found_by_what_is_in_them(songs: Path) -> None:
    catalog = read_catalog(songs)
    assert catalog.rejections == ()
    assert [track.source for track in catalog.tracks].count("moisesdb") == 3
    assert [track.source for track in catalog.tracks].count("musdb18hq") == 4
    by_song = {track.song: track for track in catalog.tracks}
    musdb = by_song["musdb18hq/Other Band - It's a Tüne"]
    assert (musdb.artist, musdb.title, musdb.split) == ("Other Band", "It's a Tüne", "test")
    assert {stem.stem_class for stem in musdb.stems} == {"vocals", "bass", "drums", "other"}
    assert musdb.mixture is not None
    assert musdb.mixture.path.endswith("It's a Tüne/mixture.wav")
    moises = by_song[f"moisesdb/{MOISES_SONGS['train']}"]
    assert [stem.stem_class for stem in moises.stems] == list(STEM_CLASSES)
    drums = next(stem for stem in moises.stems if stem.stem_class == "drums")
    assert drums.path == f"moises/{MOISES_SONGS['train']}/drums"
    assert drums.sources == ("drums-0.wav", "drums-1.wav")
    assert moises.mixture is not None
    assert len(moises.mixture.sources) == 12


def test_splits_are_stable_and_the_14_official_songs_are_validation(tmp_path: Path) -> None:
    official = sorted(committed.official_songs("musdb18hq", "valid"))
    assert len(official) == 14
    for name in (official[0], "A - B", "C - D"):
        write_musdb_song(tmp_path / "train" / name)
    write_musdb_song(tmp_path / "test" / "E - F")
    splits = {track.title: track.split for track in read_catalog(tmp_path).tracks}
    assert splits == {official[0].split(" - ")[1]: "valid", "B": "train", "D": "train", "F": "test"}


def test_a_tree_without_official_songs_gives_a_stable_tenth(songs: Path) -> None:
    valid = [track.song for track in read_catalog(songs / "mus").tracks if track.split == "valid"]
    assert valid == ["musdb18hq/Band 1 - Tune 1"]  # the smallest hash of the three


def test_splits_by_hash_are_80_10_10_and_depend_on_the_id_alone() -> None:
    splits = [split_by_hash(f"moisesdb/{number}") for number in range(20_000)]
    assert splits.count("train") / 20_000 == pytest.approx(0.8, abs=0.01)
    assert splits.count("valid") / 20_000 == pytest.approx(0.1, abs=0.01)
    for split, name in MOISES_SONGS.items():
        assert split_by_hash(f"moisesdb/{name}") == split


def test_missing_and_broken_files_are_rejected_and_the_rest_is_kept(tmp_path: Path) -> None:
    write_musdb_song(tmp_path / "a" / "X - Y")
    (tmp_path / "a" / "X - Y" / "bass.wav").unlink()
    (tmp_path / "a" / "X - Y" / "drums.wav").write_bytes(b"RIFF")
    write_moises_song(tmp_path / "b" / "uuid", ("vocals", "drums", "piano"))
    (tmp_path / "b" / "uuid" / "drums" / "drums-1.wav").unlink()
    write_moises_song(tmp_path / "c" / "broken", ("vocals",))
    (tmp_path / "c" / "broken" / "data.json").write_text('{"stems": [{"nam')
    write_moises_song(tmp_path / "c" / "odd", ("vocals",))
    description = json.loads((tmp_path / "c" / "odd" / "data.json").read_text())
    description["stems"][0]["stemName"] = "theremin"
    (tmp_path / "c" / "odd" / "data.json").write_text(json.dumps(description))
    catalog = read_catalog(tmp_path)
    kept = {track.song: [stem.stem_class for stem in track.stems] for track in catalog.tracks}
    assert kept == {"musdb18hq/X - Y": ["vocals", "other"], "moisesdb/uuid": ["vocals", "piano"]}
    reasons = {row.path: row.reason for row in catalog.rejections}
    assert "a/X - Y/bass.wav" not in reasons  # a song of one's own may have any of the parts
    assert reasons["a/X - Y/drums.wav"].startswith("cannot be read as audio")
    assert reasons["b/uuid/drums/drums-1.wav"] == "no such file"
    assert "is no description of a song" in reasons["c/broken/data.json"]
    assert reasons["c/odd/theremin"] == "unknown stem 'theremin'"


def test_bleed_is_recorded_and_can_be_excluded(tmp_path: Path) -> None:
    write_moises_song(tmp_path / "uuid", ("vocals", "drums", "piano"))
    path = tmp_path / "uuid" / "data.json"
    description = json.loads(path.read_text())
    description["stems"][1]["tracks"][1]["has_bleed"] = True
    path.write_text(json.dumps(description))
    (track,) = read_catalog(tmp_path).tracks
    bleeding = {stem.stem_class for stem in track.stems if stem.has_bleed}
    assert bleeding == {"drums"}
    catalog = read_catalog(tmp_path, CatalogSettings(exclude_bleed=True))
    assert [stem.stem_class for stem in catalog.tracks[0].stems] == ["vocals", "piano"]
    assert catalog.rejections[0].reason == "has bleed, which is to be excluded"
    strict = RejectLog(tmp_path / "rejects.jsonl", strict=True)
    strict.check(catalog.rejections)  # a choice is nothing that a strict run ends at
    with pytest.raises(DataError, match="strict"):
        strict.check([Rejection("a.wav", "catalog", "is broken")])


def test_flac_mono_and_links_are_fine_and_a_song_counts_once(tmp_path: Path) -> None:
    folder = tmp_path / "real" / "-dash - ünï 'q\""
    folder.mkdir(parents=True)
    for name in ("mixture", "vocals"):
        soundfile.write(folder / f"{name}.flac", tone(name)[:, 0], RATE)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    catalog = read_catalog(tmp_path)
    assert [track.song for track in catalog.tracks] == ["musdb18hq/-dash - ünï 'q\""]
    assert catalog.tracks[0].stems[0].channels == 1
    write_musdb_song(tmp_path / "copy" / "-dash - ünï 'q\"")
    again = read_catalog(tmp_path)
    assert len(again.tracks) == 1
    assert any("is there twice" in row.reason for row in again.rejections)


def test_a_stem_is_as_long_as_its_longest_source_and_the_song_as_its_longest_stem(
    tmp_path: Path,
) -> None:
    write_moises_song(tmp_path / "u", ("vocals", "drums"))
    for number, seconds in enumerate((3, 5)):
        short = np.zeros((seconds * RATE, 2), np.float32)
        soundfile.write(tmp_path / f"u/drums/drums-{number}.wav", short, RATE)
    (track,) = read_catalog(tmp_path).tracks
    seconds = {stem.stem_class: stem.seconds for stem in track.stems}
    assert seconds == {"vocals": 8.0, "drums": 5.0}
    assert track.mixture is not None
    assert track.mixture.seconds == 8.0


def test_files_that_the_layout_does_not_name_are_told(tmp_path: Path) -> None:
    write_musdb_song(tmp_path / "a" / "X - Y")
    soundfile.write(tmp_path / "a/X - Y/accompaniment.wav", tone("x"), RATE)
    write_moises_song(tmp_path / "b" / "uuid", ("vocals", "piano"))
    soundfile.write(tmp_path / "b/uuid/piano/take 2.wav", tone("x"), RATE)
    catalog = read_catalog(tmp_path)
    assert {row.path: row.reason for row in catalog.rejections} == {
        "a/X - Y/accompaniment.wav": "is not one of this layout's",
        "b/uuid/piano/take 2.wav": "is not named by data.json",
    }
    assert all(track.mixture is not None for track in catalog.tracks)


@pytest.mark.parametrize(
    ("rate", "subtype"),
    [(48_000, "PCM_24"), (96_000, "FLOAT"), (22_050, "PCM_U8"), (8_000, "DOUBLE")],
)
def test_other_rates_and_encodings_are_fine(tmp_path: Path, rate: int, subtype: str) -> None:
    write_moises_song(tmp_path / "u", ("vocals", "drums"))
    for number, seconds in enumerate((3.0, 4.0)):
        sound = tone(f"{number}", seconds, rate)
        soundfile.write(tmp_path / f"u/drums/drums-{number}.wav", sound, rate, subtype=subtype)
    catalog = read_catalog(tmp_path)
    assert catalog.rejections == ()
    stems = {stem.stem_class: stem for stem in catalog.tracks[0].stems}
    assert (stems["drums"].sample_rate, stems["drums"].seconds) == (rate, 4.0)


def test_levels_are_those_of_the_sound(tmp_path: Path) -> None:
    time = np.arange(4 * RATE) / RATE
    sound = np.zeros((4 * RATE, 2), np.float32)
    sound[: 2 * RATE] = (0.5 * np.sin(2 * np.pi * 441 * time[: 2 * RATE]))[:, None]
    sound[:, 1] += 0.25
    sound[10, 0], sound[11, 0] = 1.5, -2.0
    path = tmp_path / "x.wav"
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    facts = scan_file(path, tmp_path, CatalogSettings(sha256=True))
    assert facts.levels is not None
    assert facts.levels.peak == 2.0
    assert facts.levels.clipped_share == pytest.approx(2 / (8 * RATE), abs=1e-8)
    assert facts.levels.dc_offset == pytest.approx(0.25, abs=1e-3)
    assert facts.levels.rms_dbfs == pytest.approx(10 * np.log10(0.125 / 2), abs=0.05)
    assert facts.levels.silent_share == pytest.approx(0.5, abs=0.02)  # an offset is no sound
    assert facts.sha256 == sha256_file(path)
    soundfile.write(path, sound[:, :1], RATE, subtype="PCM_16")
    quiet = scan_file(path, tmp_path, CatalogSettings())
    assert (quiet.levels and quiet.levels.silent_share) == pytest.approx(0.5, abs=0.02)
    assert quiet.sha256 is None


def test_no_artist_of_a_test_song_is_trained_on(tmp_path: Path) -> None:
    for name in (
        "train/Skelpolu - Together Alone",
        "train/The  LONG wait (live) - X",
        "train/Hôllow Ground feat. Somebody - Left Blind",
        "train/Somebody - Else",
        "train/A Tester - Other",
        "test/A Tester - Song",
        "train/Leaf - Summerghost",
    ):
        write_musdb_song(tmp_path / name, seconds=0.5)
    for number in range(3):
        folder = tmp_path / f"moises/{number}"
        write_moises_song(folder, ("vocals",), seconds=0.5)
        described = json.loads((folder / "data.json").read_text())
        described["artist"] = ("Triviul", "Ada & Co", "ADA & co.")[number]
        (folder / "data.json").write_text(json.dumps(described))
    catalog = read_catalog(tmp_path)
    refused = {row.path.partition("/")[2]: row for row in catalog.rejections}
    assert set(refused) == {
        "Skelpolu - Together Alone",
        "The  LONG wait (live) - X",
        "Hôllow Ground feat. Somebody - Left Blind",
        "A Tester - Other",
    }
    assert all(by_choice(row) for row in catalog.rejections)
    splits = {track.song: track.split for track in catalog.tracks}
    assert splits["moisesdb/0"] == "test"  # by an artist of MUSDB18-HQ's test set
    assert splits["moisesdb/1"] == splits["moisesdb/2"]
    everything = read_catalog(tmp_path, CatalogSettings(split_by="song"))
    assert everything.rejections == ()
    assert len(everything.tracks) == 10


def test_what_is_excluded_is_left_out_by_choice(tmp_path: Path) -> None:
    write_musdb_song(tmp_path / "a" / "X - Y", seconds=0.5)
    write_musdb_song(tmp_path / "a" / "Z - W", seconds=0.5)
    write_moises_song(tmp_path / "b" / "uuid", ("vocals", "drums"), seconds=0.5)
    (tmp_path / "b/uuid/vocals/vocals-0.wav").write_bytes(b"")
    paths = ("a/X - Y/bass.wav", "a/Z - W", "b/uuid/drums/drums-1.wav", "b/uuid/vocals")
    exclusions = Exclusions([Rejection(path, "check", "is a double") for path in paths])
    catalog = read_catalog(tmp_path)
    tracks, refused = exclusions.apply(catalog.tracks)
    assert [track.song for track in tracks] == ["musdb18hq/X - Y"]
    assert [stem.stem_class for stem in tracks[0].stems] == ["vocals", "drums", "other"]
    assert {row.path for row in refused} == {
        *(f"a/Z - W/{name}.wav" for name in ("mixture", "drums", "bass", "other", "vocals")),
        "a/X - Y/bass.wav",
        "b/uuid/drums",
    }
    assert all(by_choice(row) for row in (*refused, *exclusions.mark(catalog.rejections)))


def test_nothing_is_written_into_the_songs_folder(songs: Path, tmp_path: Path) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        found = sorted(songs.rglob("*"))
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}

    before = state()
    work = WorkFolder.at(tmp_path)
    catalog_songs(songs, work, CatalogSettings(), work.reject_log(), 1, Console(quiet=True))
    assert state() == before
    assert {path.name for path in tmp_path.iterdir()} >= {"tracks.jsonl", "files.jsonl"}


def test_a_mixture_alone_is_a_song_too(tmp_path: Path) -> None:
    for split in ("train", "test"):
        folder = tmp_path / split / f"Some {split} - Body"
        folder.mkdir(parents=True)
        soundfile.write(folder / "mixture.flac", tone(split, 4.0), RATE)
    bad = tmp_path / "train" / "Bad - Body"
    bad.mkdir()
    (bad / "mixture.wav").write_bytes(b"")
    catalog = read_catalog(tmp_path)
    assert [(track.stems, track.split) for track in catalog.tracks] == [((), "test"), ((), "train")]
    assert [row.path for row in catalog.rejections] == ["train/Bad - Body/mixture.wav"]
    settings = small_settings(max_rejected_share=0.5, evaluation={"per_category": 3})
    work = WorkFolder.at(tmp_path / "out")
    report = build_h5(tmp_path, work, settings, 1, Console(quiet=True))
    counts = {shard.split: shard.targets for shard in report.shards}
    assert counts == {"train": 2, "test": 3}
    recipes = read_manifest(work.mixes, "mixes", MixRecipe).rows
    assert all(recipe.mixture and not recipe.stems for recipe in recipes)
