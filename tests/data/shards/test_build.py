"""The whole data side on small songs: real files, real MP3, real HDF5, real processes."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from helpers.built_shards import contents
from helpers.small_songs import small_settings

from apollo_data.audio.files import files_of
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.mixing import render
from apollo_data.pipeline import build_h5
from apollo_data.records import SPLITS, MixRecipe
from apollo_data.settings import Settings, settings_toml
from apollo_data.shards import ShardReader, ShardWriter, find_shards, store, verify_shards
from apollo_data.shards.build import BuildReport
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_manifest

QUIET = Console(quiet=True)


def build(
    songs: Path, out: Path, workers: int = 1, settings: Settings | None = None
) -> BuildReport:
    return build_h5(songs, WorkFolder.at(out), settings or small_settings(), workers, QUIET)


def test_the_build_is_whole_and_as_asked(built: Path) -> None:
    assert all(not problems for _, problems in verify_shards(built / "shards"))
    sizes = {}
    for split in SPLITS:
        readers = [ShardReader(path) for path in find_shards(built / "shards", split)]
        sizes[split] = (sum(r.targets for r in readers), sum(r.pairs for r in readers))
    # In test, two songs of which one has all classes: all four categories, six bitrates each.
    assert sizes == {"train": (10, 10), "valid": (3, 3), "test": (4, 24)}
    assert not list(built.rglob("*.partial"))


def test_every_target_follows_from_its_recipe_alone(built: Path, songs: Path) -> None:
    for path in find_shards(built / "shards"):
        with ShardReader(path) as shard:
            for pair in range(shard.pairs):
                number = int(shard.target_index[pair])
                target = render(shard.recipe(number), songs, shard.sample_rate)
                again = store(target, float(shard.scale[pair]), "int16")
                assert np.array_equal(again, shard.read_target(number))
                loudest = max(
                    np.abs(shard.read_target(number)).max(),
                    *(
                        np.abs(shard.read_coded(other)).max()
                        for other in np.flatnonzero(shard.target_index == number)
                    ),
                )
                assert loudest == 32767


def test_pairs_are_aligned_and_state_their_true_bitrate(built: Path) -> None:
    for path in find_shards(built / "shards"):
        with ShardReader(path) as shard:
            assert np.array_equal(shard.requested_kbps, shard.actual_kbps)
            for pair in range(shard.pairs):
                coded, clean = shard.read_pair(pair)
                assert coded.shape == clean.shape == (2, 44100)
                correlation = scipy.signal.correlate(coded[0], clean[0])
                assert np.argmax(correlation) == clean.shape[1] - 1


def test_no_song_is_in_two_splits(built: Path) -> None:
    songs: dict[str, set[str]] = {}
    for split in SPLITS:
        songs[split] = set()
        for path in find_shards(built / "shards", split):
            with ShardReader(path) as shard:
                for recipe in shard.recipes():
                    assert recipe.split == split
                    songs[split] |= set(recipe.songs)
        assert songs[split]
    assert not songs["train"] & songs["test"]
    assert not songs["train"] & songs["valid"]
    assert not songs["valid"] & songs["test"]


def test_two_workers_and_another_folder_give_the_same_bytes(
    built: Path, songs: Path, tmp_path: Path
) -> None:
    build(songs, tmp_path / "elsewhere", workers=2)
    assert contents(tmp_path / "elsewhere") == contents(built)


def test_a_second_run_does_nothing_and_a_lost_shard_comes_back(
    built: Path, built_copy: Path, songs: Path
) -> None:
    shards = find_shards(built / "shards")
    again = build(songs, built_copy)
    assert (again.reused, len(again.shards)) == (len(shards), len(shards))
    lost = find_shards(built_copy / "shards", "train")[1]
    lost.unlink()
    assert build(songs, built_copy).reused == len(shards) - 1
    (built_copy / "shards.jsonl").unlink()
    assert build(songs, built_copy).reused == len(shards)
    assert contents(built_copy) == contents(built)
    assert all(not problems for _, problems in verify_shards(built_copy / "shards"))


def test_a_changed_setting_rebuilds_what_depends_on_it(songs: Path, built_copy: Path) -> None:
    more = small_settings(shards={"train_clips": 10, "valid_clips": 5, "clips_per_shard": 4})
    report = build(songs, built_copy, settings=more)
    rebuilt = len(report.shards) - report.reused
    assert rebuilt == 2  # the first valid shard was not full, the second is new
    trained = small_settings(training={"batch_size": 3}, network={"layers": 2})
    assert build(songs, built_copy, settings=trained).reused == len(report.shards) - 2
    clamped = small_settings(codec={"paper_clamp": True})
    assert build(songs, built_copy, settings=clamped).reused == 0
    fewer = small_settings(shards={"train_clips": 4, "valid_clips": 3, "clips_per_shard": 4})
    build(songs, built_copy, settings=fewer)
    assert len(find_shards(built_copy / "shards", "train")) == 1


def test_a_file_that_breaks_after_the_catalog_costs_its_clips_and_no_more(
    built: Path, built_with_songs: tuple[Path, Path]
) -> None:
    songs, out = built_with_songs
    lenient, work = small_settings(max_rejected_share=0.9), WorkFolder.at(out)
    whole = contents(built)
    assert build_h5(work.tracks, work, lenient, 1, QUIET).reused == len(find_shards(work.shards))
    plan = read_manifest(work.mixes, "mixes", MixRecipe).rows
    clip = next(recipe.mixture for recipe in plan if recipe.mixture)
    victim = files_of(songs, clip.path, clip.sources)[0]
    good, times = victim.read_bytes(), (victim.stat().st_atime_ns, victim.stat().st_mtime_ns)
    shutil.rmtree(work.shards)
    # The catalog has seen a good file of this size and time; now its header is gone.
    victim.write_bytes(b"\0" * len(good))
    os.utime(victim, ns=times)
    report = build_h5(work.tracks, work, lenient, 1, QUIET)
    assert report.rejected > 0
    rows = [row for row in work.read_rejects() if row.stage == "build-h5"]
    assert len(rows) == report.rejected
    assert all(victim.name in row.reason for row in rows)
    assert sum(shard.targets for shard in report.shards) == report.drawn - report.rejected
    with pytest.raises(DataError, match=r"more than the share of 0\.05"):
        build_h5(work.tracks, work, small_settings(), 1, QUIET)
    victim.write_bytes(good)
    os.utime(victim, ns=times)
    assert build_h5(work.tracks, work, lenient, 1, QUIET).rejected == 0
    assert contents(work.path) == whole
    assert not [row for row in work.read_rejects() if row.stage == "build-h5"]


def test_a_killed_build_goes_on_to_the_same_result(
    built: Path, songs: Path, tmp_path: Path
) -> None:
    settings = tmp_path / "small.toml"
    settings.write_text(settings_toml(small_settings()))
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-c",
        "from apollo_data.cli import main; main()",
        "build-h5",
        "--config",
        str(settings),
        "--in",
        str(songs),
        "--out",
        str(out),
        "-j",
        "2",
    ]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((out / "shards").rglob("shard-*.h5")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list((out / "shards").rglob("shard-*.h5"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(built)
    assert not list(out.rglob("*.partial"))


@pytest.mark.parametrize(
    ("broken", "stage"), [("header", "catalog"), ("samples", "catalog"), ("samples", "sad")]
)
def test_a_strict_build_ends_at_the_first_bad_file(
    own_songs: Path, tmp_path: Path, broken: str, stage: str
) -> None:
    songs = own_songs
    victim = songs / "mus/train/Band 0 - Tune 0/bass.wav"
    if broken == "header":
        victim.write_bytes(b"RIFF, or so it says")
    else:  # only whoever reads the samples can tell
        sound, rate = soundfile.read(victim)
        sound[1000] = np.nan
        soundfile.write(victim, sound, rate, subtype="FLOAT")
    # A catalog that reads headers only leaves it to the next stage to find bad samples.
    catalog = {"measure": stage == "catalog"}
    strict = small_settings(strict=True, catalog=catalog)
    lenient = small_settings(catalog=catalog, max_rejected_share=0.1)
    with pytest.raises(DataError, match=r"bass\.wav: .*strict: nothing may be left out"):
        build(songs, tmp_path / "strict", settings=strict)
    assert build(songs, tmp_path / "lenient", settings=lenient).rejected == 0
    with pytest.raises(DataError, match="strict"):
        build(songs, tmp_path / "lenient", settings=strict)
    (row,) = WorkFolder.at(tmp_path / "lenient").read_rejects()
    assert row.path.endswith("Band 0 - Tune 0/bass.wav")
    assert row.stage == stage
    plan = (tmp_path / "lenient" / "mixes.jsonl").read_text()
    assert "Band 0 - Tune 0/drums.wav" in plan
    assert "Band 0 - Tune 0/bass.wav" not in plan


def test_a_full_disk_is_told_in_one_line_and_room_lets_it_go_on(
    built: Path, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    made: list[Path] = []

    def room_for_two(path: Path) -> object:
        made.append(path)
        return usage._replace(free=10**9 if len(made) <= 2 else 1000)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", room_for_two)
        with pytest.raises(
            DataError, match=r"shards/train: .*needs .*, this disk has 1000 bytes free; make room"
        ):
            build(songs, tmp_path)
    assert len(find_shards(tmp_path / "shards")) == 2
    assert not list(tmp_path.rglob("*.partial"))
    assert build(songs, tmp_path).reused == 2
    assert contents(tmp_path) == contents(built)


def test_a_folder_of_one_data_set_builds_without_the_others_classes(
    songs: Path, tmp_path: Path
) -> None:
    for part in ("mus", "moises"):
        report = build(songs / part, tmp_path / part)
        assert report.rejected == 0
        assert sum(shard.targets for shard in report.shards) > 10


def test_a_folder_without_songs_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no song found"):
        build(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(DataError, match="no such folder"):
        build(tmp_path / "nowhere", tmp_path / "out")


def test_a_quota_is_told_in_one_line(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(*_: object) -> None:  # as HDF5 tells it
        raise RuntimeError(
            "Can't decrement id ref count (unable to extend file properly, errno = 122, error "
            f"message = '{os.strerror(errno.EDQUOT)}')\nand more"
        )

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "add", add)
        with pytest.raises(DataError, match=r"shard-00000\.h5: disk quota exceeded; make room"):
            build(songs, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "add", lambda *_: (_ for _ in ()).throw(OSError("too large")))
        with pytest.raises(DataError, match=r"cannot be written \(too large\); run again"):
            build(songs, tmp_path)
    assert not list(tmp_path.rglob("*.partial"))
    assert not list(tmp_path.rglob("*.h5"))
