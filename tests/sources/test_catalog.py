import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from small_songs import MOISES_SONGS, RATE, tone, write_moises_song, write_musdb_song

from apollo_data.errors import DataError
from apollo_data.records import STEM_CLASSES, Rejection
from apollo_data.settings import CatalogSettings
from apollo_data.sources import reference
from apollo_data.sources.catalog import read_catalog
from apollo_data.sources.song import split_by_hash
from apollo_data.workfolder import refuse_rejections


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
    official = sorted(reference.validation_songs("musdb18hq"))
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
    assert reasons["a/X - Y/bass.wav"] == "no such file"
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
    refuse_rejections(catalog.rejections)  # a choice is nothing that a strict run ends at
    with pytest.raises(DataError, match="strict"):
        refuse_rejections([Rejection("a.wav", "catalog", "is broken")])


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


def test_a_stem_is_as_long_as_its_shortest_source_and_the_song_as_its_longest(
    tmp_path: Path,
) -> None:
    write_moises_song(tmp_path / "u", ("vocals", "drums"))
    short = np.zeros((3 * RATE, 2), np.float32)
    soundfile.write(tmp_path / "u/drums/drums-1.wav", short, RATE)
    (track,) = read_catalog(tmp_path).tracks
    seconds = {stem.stem_class: stem.seconds for stem in track.stems}
    assert seconds == {"vocals": 8.0, "drums": 3.0}
    assert track.mixture is not None
    assert track.mixture.seconds == 8.0
