"""Exports, read back as the trainers read them that they are made for."""

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
from helpers.small_songs import RATE, SECONDS, small_settings, tone, write_musdb_song
from typer.testing import CliRunner

from apollo_data.audio.files import files_of, read_sound
from apollo_data.cli import app
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.export.folder import MARKER
from apollo_data.export.pairs import export_pairs
from apollo_data.export.segments import segment_starts
from apollo_data.export.upstream import export_upstream
from apollo_data.pipeline import build_h5
from apollo_data.records import (
    STEM_CLASSES,
    ActiveSpan,
    AlignedPair,
    FileFacts,
    MixRecipe,
    Rejection,
    ShardInfo,
    StemActivity,
    Track,
)
from apollo_data.shards import ShardReader, find_shards
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import iterate_rows, read_manifest

QUIET = Console(quiet=True)
FORMATS = Path("docs/formats.md")
ROW_TYPES = {
    "files": FileFacts,
    "tracks": Track,
    "activity": StemActivity,
    "pairs": AlignedPair,
    "mixes": MixRecipe,
    "shards": ShardInfo,
    "rejects": Rejection,
}


@pytest.fixture(scope="module")
def work(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder; besides the small songs it has one of 20 s whose singer rests at first."""
    raw = tmp_path_factory.mktemp("export") / "raw"
    shutil.copytree(songs, raw)
    long = {name: tone(name, 20.0) for name in ("drums", "bass", "other", "vocals")}
    long["vocals"][: round(4.0 * RATE)] = 0.0
    write_musdb_song(raw / "mus/train/A Band - A Long Tune", **long)
    out = raw.parent / "work"
    shards = {"train_clips": 3, "valid_clips": 3, "clips_per_shard": 2}
    build_h5(raw, WorkFolder.at(out), small_settings(shards=shards), 1, QUIET)
    return out


@pytest.fixture(scope="module")
def upstream(work: Path) -> Path:
    """The working folder exported for the public trainer; read only."""
    out = work.parent / "upstream"
    report = export_upstream(work, out, 1, QUIET)
    assert report.missing_classes == ()
    assert report.kept == 0
    return out


def names_in(folder: Path) -> list[str]:
    """Names of everything in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


def load_as_upstream(folder: Path) -> Iterator[tuple[Path, np.ndarray]]:
    """Read every segment of a class as the public loader does: whatever the folder holds."""
    for name in names_in(folder):
        with h5py.File(folder / name, "r") as file:
            datas = file["data"]
            for number in range(datas.shape[0]):
                yield folder / name, datas[number]


def test_the_public_loader_finds_every_class_and_each_segment_is_that_of_its_song(
    work: Path, upstream: Path
) -> None:
    tracks = read_manifest(work / "tracks.jsonl", "tracks", Track)
    training = [track for track in tracks.rows if track.split == "train"]
    for name in (*STEM_CLASSES, "mixture"):
        segments = list(load_as_upstream(upstream / name))
        assert segments
        counts: dict[Path, int] = {}
        for path, segment in segments:
            assert segment.shape == (2, 264600)
            assert segment.dtype == np.float32
            number = int(re.fullmatch(r"sample(\d+)\.hdf5", path.name)[1])
            track = training[number]
            sounds = {stem.stem_class: stem for stem in track.stems} | {"mixture": track.mixture}
            sound = sounds[name]
            with h5py.File(path) as file:
                start = file["data"].attrs["start_seconds"][counts.get(path, 0)]
                assert file["data"].attrs["song"] == track.song
            counts[path] = counts.get(path, 0) + 1
            files = files_of(tracks.root, sound.path, sound.sources)
            assert np.array_equal(segment, read_sound(files, start, 264600, 44100))
            assert np.abs(segment).max() > 0.01


def segments_of(path: Path) -> tuple[str, np.ndarray]:
    """Song and start times of the segments in a file."""
    with h5py.File(path) as file:
        return file["data"].attrs["song"], file["data"].attrs["start_seconds"]


def test_segments_are_active_whole_and_of_training_songs_alone(work: Path, upstream: Path) -> None:
    activities = iterate_rows(work / "activity.jsonl", "activity", StemActivity)
    spans = {(row.song, row.stem_class): row for row in activities}
    exported = set()
    for path in upstream.glob("*/sample*.hdf5"):
        song, starts = segments_of(path)
        exported.add((song, path.parent.name))
        if path.parent.name == "mixture":
            continue
        row = spans.pop((song, path.parent.name))
        assert row.split == "train"
        active = [
            sum(
                max(0.0, min(span.end_seconds, end) - max(span.start_seconds, end - 6.0))
                for span in row.spans
            )
            for end in np.arange(6.0, row.seconds + 1e-6, 6.0)
        ]
        assert starts.tolist() == [6.0 * k for k, heard in enumerate(active) if heard >= 3.0 - 1e-6]
    assert all(row.split != "train" for row in spans.values())
    assert ("musdb18hq/A Band - A Long Tune", "mixture") in exported
    (vocals,) = [
        starts
        for path in upstream.glob("vocals/*")
        for song, starts in [segments_of(path)]
        if song == "musdb18hq/A Band - A Long Tune"
    ]
    assert vocals.tolist()[0] == 6.0  # the singer rests until 4 s


def test_a_segment_is_taken_if_half_of_it_is_active() -> None:
    spans = [ActiveSpan(3.0, 6.0), ActiveSpan(6.0, 8.99), ActiveSpan(17.0, 30.0)]
    assert segment_starts(spans, 29.9) == (0.0, 18.0)
    assert segment_starts(spans, 30.0) == (0.0, 18.0, 24.0)
    assert segment_starts((), 30.0) == ()
    assert segment_starts([ActiveSpan(0.0, SECONDS)], 5.9) == ()


def test_evaluation_folders_hold_the_pairs_of_held_out_shards(work: Path, upstream: Path) -> None:
    for folder, split in (("eval", "valid"), ("codec-test", "test")):
        names = names_in(upstream / folder)
        shards = [ShardReader(path) for path in find_shards(work / "shards", split)]
        pairs = [(shard, pair) for shard in shards for pair in range(shard.pairs)]
        assert len(names) == len(pairs)
        for name, (shard, pair) in zip(names, pairs, strict=True):
            assert name.endswith(f"_mp3_{shard.requested_kbps[pair]:g}k")
            assert names_in(upstream / folder / name) == ["codec_wav.wav", "ori_wav.wav"]
            for file, audio in zip(
                ("codec_wav.wav", "ori_wav.wav"), shard.read_pair(pair), strict=True
            ):
                found, rate = soundfile.read(upstream / folder / name / file, dtype="float32")
                assert rate == 44100
                assert np.array_equal(found.T, audio)


def test_missing_classes_are_named_and_get_no_folder(tmp_path: Path) -> None:
    for number in range(3):
        write_musdb_song(tmp_path / f"raw/train/Band {number} - Tune {number}")
    work = tmp_path / "work"
    settings = small_settings(shards={"train_clips": 1, "valid_clips": 1})
    build_h5(tmp_path / "raw", WorkFolder.at(work), settings, 1, QUIET)
    report = export_upstream(work, tmp_path / "out", 1, QUIET)
    own = {"vocals", "bass", "drums", "other"}
    assert set(report.missing_classes) == set(STEM_CLASSES) - own
    folders = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert folders == own | {"mixture", "eval"}  # no test song, so no codec-test


def read_table(out: Path) -> list[dict[str, str]]:
    with (out / "pairs.csv").open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("file_format", ["wav", "flac"])
def test_exported_pairs_are_those_of_the_shards(
    work: Path, tmp_path: Path, file_format: str
) -> None:
    out = tmp_path / "out"
    report = export_pairs(work, out, file_format, None, 1, QUIET)
    rows = read_table(out)
    assert list(rows[0])[:3] == ["split", "degraded", "clean"]
    assert names_in(out / "clean") == names_in(out / "degraded")
    assert (report.written, len(rows)) == (2 * len(rows), 3 + 3 + 24)
    assert [own.clips for own in report.folders.values()] == [3, 3, 24]
    shards = [ShardReader(path) for path in find_shards(work / "shards")]
    pairs = [(shard, pair) for shard in shards for pair in range(shard.pairs)]
    for row, (shard, pair) in zip(rows, pairs, strict=True):
        target = int(shard.target_index[pair])
        assert Path(row["degraded"]).name == Path(row["clean"]).name
        assert row["split"] == shard.split
        assert row["codec"] == shard.codec_names[pair]
        for column in ("requested_kbps", "actual_kbps", "scale"):
            assert np.float32(row[column]) == getattr(shard, column)[pair]
        assert set(json.loads(row["songs"])) == set(shard.recipe(target).songs)
        stored = (shard.read_coded(pair), shard.read_target(target))
        for side, audio in zip(("degraded", "clean"), stored, strict=True):
            kind = "int16" if file_format == "flac" else "float32"
            found, rate = soundfile.read(out / row[side], dtype=kind)
            assert rate == 44100
            expected = audio if file_format == "flac" else audio / np.float32(32767)
            assert np.array_equal(found.T, expected)


def test_flac_of_float_shards_has_24_bits(songs: Path, tmp_path: Path) -> None:
    shards = {"train_clips": 2, "valid_clips": 0, "dtype": "float32"}
    settings = small_settings(shards=shards, evaluation={"per_category": 0})
    build_h5(songs / "mus", WorkFolder.at(tmp_path / "work"), settings, 1, QUIET)
    export_pairs(tmp_path / "work" / "shards", tmp_path / "out", "flac", "train", 1, QUIET)
    with ShardReader(find_shards(tmp_path / "work" / "shards")[0]) as shard:
        for pair, row in enumerate(read_table(tmp_path / "out")):
            for side, audio in zip(("degraded", "clean"), shard.read_pair(pair), strict=True):
                path = tmp_path / "out" / row[side]
                assert soundfile.info(path).subtype == "PCM_24"
                found = soundfile.read(path, dtype="float64")[0].T * (2**23 / (2**23 - 1))
                assert np.abs(found - audio).max() <= 0.51 / 2**23


def digests(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_a_second_run_writes_what_is_missing_or_cut(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_pairs(work, out, "wav", "valid", 1, QUIET)
    whole = digests(out)
    clean, degraded = sorted((out / "clean").iterdir()), sorted((out / "degraded").iterdir())
    untouched = degraded[0].stat().st_mtime_ns
    clean[1].unlink()
    degraded[2].write_bytes(degraded[2].read_bytes()[:-1000])
    (out / "clean" / ".x.wav.abc.partial").write_bytes(b"left by a killed run")
    (out / "pairs.csv").unlink()
    again = export_pairs(work, out, "wav", "valid", 2, QUIET)
    assert (again.written, again.kept) == (2, 4)
    assert digests(out) == whole
    assert degraded[0].stat().st_mtime_ns == untouched


@pytest.mark.parametrize("file_format", ["wav", "flac"])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_file_is_written_again(
    work: Path, tmp_path: Path, file_format: str, damage: str
) -> None:
    out = tmp_path / "pairs"
    export_pairs(work, out, file_format, "train", 1, QUIET)
    victim = sorted((out / "degraded").iterdir())[0]
    whole = victim.read_bytes()
    cut = whole[:100] if damage == "cut" else whole[:-200] + bytes(200)
    victim.write_bytes(cut)
    assert export_pairs(work, out, file_format, "train", 1, QUIET).written == 1
    assert victim.read_bytes() == whole


def test_segments_are_taken_up_again_too(work: Path, upstream: Path) -> None:
    whole = digests(upstream)
    victim = next(iter(sorted(upstream.glob("bass/sample*.hdf5"))))
    victim.write_bytes(victim.read_bytes()[:100_000])
    shutil.rmtree(upstream / "drums")
    drums = sum(name.startswith("drums/") for name in whole)
    again = export_upstream(work, upstream, 1, QUIET)
    assert again.written == drums + 1
    assert again.kept == len(whole) - 1 - again.written  # the marker is no export
    assert digests(upstream) == whole


def test_folders_that_are_not_the_export_s_own_are_refused(work: Path, tmp_path: Path) -> None:
    def refused(out: Path, words: str, split: str = "valid") -> None:
        with pytest.raises(DataError, match=words):
            export_pairs(work, out, "wav", split, 1, QUIET)

    refused(work, "lies in")
    refused(work / "new", "lies in")
    assert not (work / "new").exists()
    raw = read_manifest(work / "tracks.jsonl", "tracks", Track).root
    with pytest.raises(DataError, match="lies in"):
        export_upstream(work, raw / "new", 1, QUIET)
    (tmp_path / "file").write_text("a file")
    refused(tmp_path / "file", "is a file")
    refused(tmp_path, "holds other files")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    export_pairs(work, tmp_path / "out", "wav", "valid", 1, QUIET)
    before = digests(tmp_path / "out")
    refused(tmp_path / "out", "holds an export of other data", split="test")
    assert digests(tmp_path / "out") == before
    assert MARKER in before


def test_a_small_disk_is_told_before_anything_is_written(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(DataError, match=r"the export needs 2\.1 MB, this disk has 1\.0 MB"):
        export_pairs(work, tmp_path / "out", "wav", "valid", 1, QUIET)
    assert not list((tmp_path / "out").glob("**/*.wav"))


def test_the_command_exports_and_sums_up(work: Path, tmp_path: Path) -> None:
    command = ["export", str(work), "--out", str(tmp_path / "out"), "--quiet", "-j", "1"]
    done = CliRunner().invoke(app, [*command, "--layout", "pairs", "--split", "test"])
    assert done.exit_code == 0
    assert ["test", "48", "24", "0.007"] in [line.split()[:4] for line in done.stdout.splitlines()]
    assert "48 files written, 0 were there already" in done.stdout
    wrong = CliRunner().invoke(app, [*command, "--layout", "upstream", "--split", "test"])
    assert wrong.exit_code == 2
    nothing = CliRunner().invoke(app, ["export", str(tmp_path), "--layout", "upstream", "-o", "x"])
    assert "holds neither tracks.jsonl" in str(nothing.exception)
    for layout in ("upstream", "pairs"):
        nowhere = ["export", str(tmp_path / "nowhere"), "--layout", layout, "-o", "x"]
        assert "no such" in str(CliRunner().invoke(app, nowhere).exception)


def test_the_documents_rows_can_be_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```json\n(.*?)```", FORMATS.read_text(encoding="utf-8"), re.DOTALL)
    kinds = []
    for block in blocks:
        kinds.append(json.loads(block.splitlines()[0])["kind"])
        path = tmp_path / f"{kinds[-1]}.jsonl"
        path.write_text(block, encoding="utf-8")
        rows = list(iterate_rows(path, kinds[-1], ROW_TYPES[kinds[-1]]))
        assert len(rows) == len(block.splitlines()) - 1 > 0
    assert kinds == list(ROW_TYPES)


def test_the_documents_ten_lines_run_on_a_shard(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", FORMATS.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in program.splitlines() if line]) <= 10
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo").symlink_to(work)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, str(FORMATS), "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("vocal 24 kbit/s 0.")
