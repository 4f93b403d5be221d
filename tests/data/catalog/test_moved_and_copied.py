"""Songs and working folders that move; what is built follows from content, not from times."""

import os
import shutil
from pathlib import Path

import pytest
import soundfile
from helpers.built_shards import digests
from helpers.small_songs import RATE, small_settings, tone, write_musdb_song

from apollo_data.catalog import scan_files, stage
from apollo_data.catalog.source import catalog_songs
from apollo_data.console import Console
from apollo_data.pipeline import build_h5
from apollo_data.records import FileFacts, Rejection, Track
from apollo_data.settings import CatalogSettings, Settings
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_header, read_manifest

QUIET = Console(quiet=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("train/A - B", "train/C - D", "test/E - F"):
        write_musdb_song(tmp_path / "songs" / name, seconds=1.5)
    for side in ("clean", "degraded"):
        (tmp_path / "songs/pairs" / side / "train").mkdir(parents=True)
    soundfile.write(tmp_path / "songs/pairs/clean/train/t.wav", tone("t", 4.0), RATE)
    soundfile.write(tmp_path / "songs/pairs/degraded/train/t.mp3", tone("t", 4.0), RATE)
    return tmp_path / "songs"


def settings(clips: int = 3) -> Settings:
    shards = {"train_clips": clips, "valid_clips": 0, "clips_per_shard": 3}
    return small_settings(
        mixing={"clip_seconds": 0.5}, shards=shards, evaluation={"per_category": 0}
    )


def build(root: Path, out: Path, clips: int = 3):
    return build_h5(root, WorkFolder.at(out), settings(clips), 1, QUIET)


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that the catalog reads."""
    seen: list[str] = []
    for name in ("scan_file", "digest_file"):
        own = getattr(scan_files, name)

        def look(path: Path, *more: object, own=own, **named: object) -> FileFacts:
            seen.append(path.name)
            return own(path, *more, **named)

        monkeypatch.setattr(scan_files, name, look)
    return seen


def test_songs_that_moved_are_not_read_again_and_shards_stay(
    root: Path, tmp_path: Path, read_files: list[str]
) -> None:
    out = tmp_path / "out"
    first = build(root, out)
    assert first.rejected == 0
    decoded = sorted(path.name for path in (out / "decoded").iterdir())
    moved = root.rename(tmp_path / "moved")
    read_files.clear()
    tracks = catalog_songs(
        moved, WorkFolder.at(out), CatalogSettings(), WorkFolder.at(out).reject_log(), 1, QUIET
    )
    assert read_files == []
    assert tracks.root.resolve() == moved.resolve()
    more = build(moved, out, clips=6)  # a longer plan: its clips are cut from the new place
    assert more.rejected == 0
    assert more.reused >= 1
    assert sorted(path.name for path in (out / "decoded").iterdir()) == decoded
    (tmp_path / "deeper").mkdir()
    out.rename(tmp_path / "deeper/out")
    again = build(moved, tmp_path / "deeper/out", clips=6)
    assert (again.rejected, again.reused) == (0, len(again.shards))
    assert read_files == []


def test_modification_times_change_nothing_but_what_is_read(
    root: Path, tmp_path: Path, read_files: list[str]
) -> None:
    build(root, tmp_path / "a")
    for path in root.rglob("*.*"):
        os.utime(path, ns=(1, 1))
    read_files.clear()
    again = build(root, tmp_path / "a")
    assert len(read_files) == 17
    assert again.reused == len(again.shards)
    build(root, tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    sound, rate = soundfile.read(root / "train/A - B/bass.wav")
    soundfile.write(root / "train/A - B/bass.wav", sound[::-1], rate)
    os.utime(root / "train/A - B/bass.wav", ns=(2, 2))
    changed = build(root, tmp_path / "b")
    assert changed.reused == 0


def test_working_folders_of_earlier_versions_are_recognised(root: Path, tmp_path: Path) -> None:
    work = WorkFolder.at(tmp_path / "out")
    rows = catalog_songs(root, work, CatalogSettings(), work.reject_log(), 1, QUIET).rows
    old = stage._keys(rows, {}, root)[1]
    text = work.tracks.read_text().replace(read_header(work.tracks).key, old)
    work.tracks.write_text(text)
    catalog_songs(root, work, CatalogSettings(), work.reject_log(), 1, QUIET)
    assert work.tracks.read_text() == text


def test_the_scan_does_not_depend_on_the_number_of_processes(root: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        catalog_songs(
            root,
            WorkFolder.at(tmp_path / f"{workers}"),
            CatalogSettings(),
            WorkFolder.at(tmp_path / f"{workers}").reject_log(),
            workers,
            QUIET,
        )
    assert (tmp_path / "1/files.jsonl").read_bytes() == (tmp_path / "2/files.jsonl").read_bytes()


def test_a_song_with_the_samples_of_a_test_song_is_not_trained_on(
    root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "test/E - F", root / "train/Copy - Live")
    flac = root / "train/Again - Coded"
    flac.mkdir()
    sound, rate = soundfile.read(root / "test/E - F/mixture.wav")
    soundfile.write(flac / "mixture.flac", sound, rate)
    for name in ("X", "Y"):  # both silent from end to end: no copies
        write_musdb_song(root / f"train/{name}", seconds=1.5, bass=0.0 * tone("b", 1.5))
    write_musdb_song(root / "test/Z", seconds=1.5, bass=0.0 * tone("b", 1.5))
    work = WorkFolder.at(tmp_path / "out")
    tracks = catalog_songs(root, work, CatalogSettings(), work.reject_log(), 1, QUIET)
    assert {row.song.partition("/")[2] for row in tracks.rows if not row.pair} == {
        *("A - B", "C - D", "E - F", "X", "Y", "Z")
    }
    rows: dict[str, Rejection] = {row.path: row for row in work.read_rejects()}
    assert set(rows) == {"musdb18hq/Copy - Live", "musdb18hq/Again - Coded"}
    reason = rows["musdb18hq/Copy - Live"].reason
    assert reason == "(train) has the same samples as musdb18hq/E - F (test)"
    unread = Settings(catalog=CatalogSettings(measure=False))
    assert len(catalog_songs(root, work, unread.catalog, work.reject_log(), 1, QUIET).rows) > len(
        tracks.rows
    )


def test_a_catalog_that_is_pointed_elsewhere_keeps_its_rows(root: Path, tmp_path: Path) -> None:
    work = WorkFolder.at(tmp_path / "out")
    before = catalog_songs(root, work, CatalogSettings(), work.reject_log(), 1, QUIET)
    moved = root.rename(tmp_path / "x")
    after = catalog_songs(moved, work, CatalogSettings(), work.reject_log(), 1, QUIET)
    assert (after.rows, after.header.key) == (before.rows, before.header.key)
    assert read_manifest(work.files, "files", FileFacts).root.resolve() == moved.resolve()
    assert read_manifest(work.tracks, "tracks", Track).root.resolve() == moved.resolve()
