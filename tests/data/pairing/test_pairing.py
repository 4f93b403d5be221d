"""The user's own pairs, from folders and CSV files of any format to shards."""

import csv
import subprocess
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from helpers.small_songs import RATE, small_settings, tone, write_musdb_song

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.pipeline import build_h5
from apollo_data.records import AlignedPair, Track
from apollo_data.shards import ShardReader, find_shards, verify_shards
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_manifest

QUIET = Console(quiet=True)
SETTINGS = small_settings(shards={"train_clips": 4, "valid_clips": 2, "clips_per_shard": 8})


def write(path: Path, sound: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype="FLOAT" if path.suffix == ".wav" else None)


def encode(source: Path, out: Path, *options: str) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [find_ffmpeg(), "-v", "error", "-i", str(source), *options, str(out)]
    subprocess.run(command, check=True, timeout=60)


def build(songs: Path, out: Path) -> tuple[WorkFolder, dict[str, AlignedPair]]:
    work = WorkFolder.at(out)
    build_h5(songs, work, SETTINGS.model_copy(update={"max_rejected_share": 1.0}), 1, QUIET)
    rows = read_manifest(work.pairs, "pairs", AlignedPair).rows
    return work, {row.degraded: row for row in rows}


def test_shifted_pairs_are_aligned_to_the_sample_and_a_wrong_partner_is_refused(
    tmp_path: Path,
) -> None:
    root = tmp_path / "songs"
    shifts = (0, 1, 1105, 20_000, -1105)
    for shift in shifts:
        sound = tone(f"song {shift}", 6.0)
        write(root / f"clean/train/{shift}.wav", sound)
        later = np.concatenate([np.zeros((shift, 2)), sound]) if shift > 0 else sound[-shift:]
        write(root / f"degraded/train/{shift}.wav", 0.7 * later)
    write(root / "clean/train/wrong.wav", tone("one", 6.0))
    write(root / "degraded/train/wrong.wav", tone("another", 6.0))
    write(root / "clean/train/turned.wav", tone("one", 6.0))
    write(root / "degraded/train/turned.wav", -tone("one", 6.0))
    write(root / "clean/train/exchanged.wav", tone("two", 6.0))
    write(root / "degraded/train/exchanged.wav", tone("two", 6.0)[:, ::-1])
    work, rows = build(root, tmp_path / "out")
    found = {name: row.lag_samples for name, row in rows.items()}
    assert found == {f"degraded/train/{shift}.wav": shift for shift in shifts}
    reasons = {row.path: row.reason for row in work.read_rejects()}
    refused = ("wrong", "turned", "exchanged")
    assert set(reasons) == {f"degraded/train/{name}.wav" for name in refused}
    assert "left and right channels exchanged" in reasons["degraded/train/exchanged.wav"]
    assert "does not match its clean side: correlation" in reasons["degraded/train/wrong.wav"]
    assert "polarity turned: correlation -1.0" in reasons["degraded/train/turned.wav"]
    pairs = 0
    for path in find_shards(work.shards):
        with ShardReader(path) as shard:
            assert set(shard.codec_names) == {"paired"}
            for pair in range(shard.pairs):
                degraded, clean = shard.read_pair(pair)
                assert np.abs(degraded - 0.7 * clean).max() < 1e-4
                pairs += 1
    assert pairs >= 20  # 6 s give at most 6 clips of a second, without the rest in them
    assert all(not problems for _, problems in verify_shards(work.shards))


def test_a_csv_of_any_formats(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    write(root / "a b.wav", tone("a", 4.0))
    write(root / "ünï.flac", tone("b", 4.0))
    write(root / "low.wav", scipy.signal.resample_poly(tone("c", 4.0), 1, 2), RATE // 2)
    write(root / "c.wav", tone("c", 4.0))
    encode(root / "a b.wav", root / "lossy/-a.mp3", "-b:a", "64k")
    encode(root / "a b.wav", root / "lossy/a.m4a", "-b:a", "96k")
    encode(root / "ünï.flac", root / "lossy/b.opus", "-b:a", "48k")
    encode(root / "ünï.flac", root / "lossy/b.ogg", "-b:a", "64k")
    rows = [
        ("train", "lossy/-a.mp3", "a b.wav", "more"),
        ("train", "lossy/a.m4a", "a b.wav", ""),
        ("test", "lossy/b.opus", "ünï.flac", ""),
        ("test", "lossy/b.ogg", "ünï.flac", ""),
        ("valid", "low.wav", "c.wav", ""),
        ("train", "lossy/b.ogg", "a b.wav", ""),
        ("test", "lossy/a.m4a", "a b.wav", ""),
        ("training", "low.wav", "c.wav", ""),
        ("train", "gone.mp3", "c2.wav", ""),
        ("train", "", "c.wav", ""),
    ]
    with (root / "pairs.csv").open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("split", "degraded", "clean", "note"), *rows])
    work, found = build(root, tmp_path / "out")
    assert {row.degraded: row.split for row in found.values()} == {
        "lossy/-a.mp3": "train",
        "lossy/a.m4a": "train",
        "lossy/b.opus": "test",
        "lossy/b.ogg": "test",
        "low.wav": "valid",
    }
    assert all(abs(row.lag_samples) <= 1 for row in found.values())
    assert 55 < found["lossy/-a.mp3"].degraded_kbps < 80
    reasons = sorted(row.reason for row in work.read_rejects())
    assert [reason.split(":")[0] for reason in reasons] == [
        "its clean side is in train already and cannot be in test too",
        "no such file",
        "row 11 names no clean or no degraded file",
        "row 9",
        "song 'paired/lossy/b.ogg' is there twice",
    ]
    summary = {}
    for path in find_shards(work.shards):
        with ShardReader(path) as shard:
            summary[shard.split] = summary.get(shard.split, 0) + shard.pairs
    assert set(summary) == {"train", "valid", "test"}
    before = {path: path.read_bytes() for path in find_shards(work.shards)}
    for path in before:
        path.unlink()
    build_h5(root, work, SETTINGS.model_copy(update={"max_rejected_share": 1.0}), 2, QUIET)
    assert {path: path.read_bytes() for path in find_shards(work.shards)} == before


def test_folders_without_partners_and_bad_files_are_told(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    write(root / "clean/good.wav", tone("good", 3.0))
    encode(root / "clean/good.wav", root / "degraded/good.mp3")
    write(root / "clean/alone.wav", tone("x", 1.0))
    write(root / "degraded/orphan.wav", tone("x", 1.0))
    write(root / "clean/twice.wav", tone("x", 1.0))
    write(root / "clean/twice.flac", tone("x", 1.0))
    write(root / "degraded/twice.wav", tone("x", 1.0))
    write(root / "clean/silent.wav", np.zeros((RATE, 2)))
    write(root / "degraded/silent.wav", np.zeros((RATE, 2)))
    for name, content in (
        ("list.mp3", b"#EXTM3U\nhttp://127.0.0.1:9/x.mp3\n"),
        ("concat.mp3", b"ffconcat version 1.0\nfile good.mp3\n"),
        ("noise.ogg", b"\x01" * 5000),
        ("empty.mp3", b""),
    ):
        write((root / "clean" / name).with_suffix(".wav"), tone(name, 2.0))
        (root / "degraded" / name).write_bytes(content)
    (root / "clean/notes.txt").write_text("not audio")
    work, found = build(root, tmp_path / "out")
    assert set(found) == {"degraded/good.mp3", "degraded/twice.wav"}
    reasons = {row.path: row.reason for row in work.read_rejects()}
    assert reasons["clean/alone.wav"] == "has no degraded partner of the same name"
    assert reasons["degraded/orphan.wav"] == "has no clean partner of the same name"
    assert reasons["clean/twice.wav"] == "is a second clean side beside twice.flac"
    assert reasons["degraded/silent.wav"] == "its clean side is silent"
    assert reasons["degraded/empty.mp3"] == "is an empty file"
    for name in ("list.mp3", "concat.mp3", "noise.ogg"):
        assert reasons[f"degraded/{name}"].startswith("cannot be decoded"), name
    assert not list(work.decoded.glob(".*"))


def test_pairs_and_stems_share_a_build(tmp_path: Path) -> None:
    root = tmp_path / "songs"
    for number in range(2):
        write_musdb_song(root / f"train/Band {number} - Tune", seconds=3.0)
    write(root / "own/clean/train/x.wav", tone("x", 3.0))
    write(root / "own/degraded/train/x.wav", 0.5 * tone("x", 3.0))
    work, _ = build(root, tmp_path / "out")
    tracks = read_manifest(work.tracks, "tracks", Track).rows
    assert {track.source for track in tracks} == {"musdb18hq", "paired"}
    (path,) = find_shards(work.shards, "train")
    with ShardReader(path) as shard:
        assert sorted(set(shard.codec_names)) == ["mp3", "paired"]
        assert [recipe.index for recipe in shard.recipes()] == list(range(shard.targets))


def test_a_drifting_pair_is_refused(tmp_path: Path) -> None:
    sound = np.concatenate([tone(f"part {number}", 20.0) for number in range(12)])
    slower = scipy.signal.resample_poly(sound, 44_110, 44_100, axis=0)
    write(tmp_path / "mine/clean/x.wav", sound)
    write(tmp_path / "mine/degraded/x.wav", slower)
    with pytest.raises(DataError, match="enough activity"):
        build(tmp_path / "mine", tmp_path / "out")
    (row,) = WorkFolder.at(tmp_path / "out").read_rejects()
    assert "drifts against" in row.reason or "does not match" in row.reason


def test_a_changed_side_is_aligned_and_built_anew(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    write(root / "clean/train/x.wav", tone("x", 4.0))
    write(root / "degraded/train/x.wav", 0.5 * tone("x", 4.0))
    work, before = build(root, tmp_path / "out")
    (path,) = find_shards(work.shards)
    first = path.read_bytes()
    later = np.concatenate([np.zeros((700, 2)), 0.3 * tone("x", 4.0)])
    write(root / "degraded/train/x.wav", later)
    _, after = build(root, tmp_path / "out")
    lags = [rows["degraded/train/x.wav"].lag_samples for rows in (before, after)]
    assert lags == [0, 700]
    assert path.read_bytes() != first
