import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from apollo_data.errors import DataError
from apollo_data.records import Coding, MixRecipe, ShardInfo, StemClip
from apollo_data.shards import (
    ShardHead,
    ShardReader,
    ShardWriter,
    common_scale,
    describe_problems,
    find_shards,
    store,
    summarise_shard,
    to_float,
    verify_shards,
)
from apollo_data.storage import sha256_file
from apollo_data.workspace.manifest import write_manifest

SAMPLES = 4410
HEAD = ShardHead("test", 44100, 0.1, SAMPLES, "int16", "seed = 0\n", "0" * 64, "this", "key")


def recipe(index: int, *kbps: float) -> MixRecipe:
    clip = StemClip("söng", "bass", "söng/bass.wav", 1.5, 0.1, -3.25)
    codings = tuple(Coding("mp3", value) for value in kbps)
    return MixRecipe(0, index, "test", "single_stem", (clip,), codings)


def noise(seed: int, level: float = 0.5) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, (2, SAMPLES)).astype(np.float32)


def write(path: Path, head: ShardHead = HEAD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with ShardWriter(path, head, targets=3, pairs=5) as shard:  # room for more than comes
        shard.add(recipe(0, 24, 64), noise(0), [noise(1), noise(2)], [24.0, 64.0])
        shard.add(recipe(1, 128), noise(3, 0.01), [noise(4, 0.01)], [127.5])
    return path


def listed(folder: Path, path: Path) -> None:
    info = ShardInfo(
        str(path.relative_to(folder)), "test", 2, 3, path.stat().st_size, sha256_file(path), "key"
    )
    write_manifest(folder / "shards.jsonl", "shards", [info], "key", folder)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_both_sides_share_one_factor_and_can_be_had_back(dtype: str) -> None:
    clean, coded = noise(0, 2.0), noise(1, 3.0)
    scale = common_scale([clean, coded])
    assert scale == max(np.abs(clean).max(), np.abs(coded).max())
    for side in (clean, coded):
        kept = to_float(store(side, scale, dtype))
        assert np.abs(kept).max() <= 1.0
        assert np.abs(kept * scale - side).max() <= scale / 32767
    assert np.abs(to_float(store(coded, scale, dtype))).max() == 1.0


def test_a_shard_is_plain_hdf5_as_the_format_says(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path / "shard-00000.h5")) as shard:
        assert shard["target"].shape == (2, 2, SAMPLES)
        assert shard["codec"].shape == (3, 2, SAMPLES)
        assert shard["target"].dtype == shard["codec"].dtype == np.int16
        assert shard["target"].chunks == shard["codec"].chunks == (1, 2, SAMPLES)
        assert shard["pair/target_index"].dtype == np.int32
        assert shard["pair/target_index"][:].tolist() == [0, 0, 1]
        assert shard["pair/requested_kbps"][:].tolist() == [24, 64, 128]
        assert shard["pair/actual_kbps"][:].tolist() == [24, 64, 127.5]
        assert shard["pair/codec"].asstr()[:].tolist() == ["mp3"] * 3
        assert shard["pair/scale"][:].shape == (3,)
        assert '"gain_db": -3.25' in shard["recipe"].asstr()[0]
        attributes = dict(shard.attrs)
        assert attributes["format"] == "apollo-shard"
        assert attributes["format_version"] == 1
        assert attributes["complete"]
        assert {"sample_rate", "clip_seconds", "split", "settings"} <= attributes.keys()
        assert {"settings_sha256", "software"} <= attributes.keys()


def test_the_reader_gives_back_what_was_written(tmp_path: Path) -> None:
    with ShardReader(write(tmp_path / "shard-00000.h5")) as shard:
        assert (shard.targets, shard.pairs, shard.samples) == (2, 3, SAMPLES)
        coded, clean = shard.read_pair(1)
        assert np.abs(coded * shard.scale[1] - noise(2)).max() < 1e-4
        assert np.abs(clean * shard.scale[1] - noise(0)).max() < 1e-4
        assert shard.recipes() == [recipe(0, 24, 64), recipe(1, 128)]
        assert shard.recipe(1) == recipe(1, 128)
    summary = summarise_shard(tmp_path / "shard-00000.h5")
    assert summary.bitrates == {"24=24": 1, "64=64": 1, "128=127.5": 1}
    assert summary.categories == {"single_stem": 2}


def test_an_unfinished_shard_is_none(tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.h5"
    shard = ShardWriter(path, HEAD, 1, 1)
    with pytest.raises(RuntimeError), shard:
        raise RuntimeError
    with pytest.raises(DataError, match="shard-00000"):
        ShardReader(path)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", None])
def test_other_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "shard-00000.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="no such shard" if content is None else "is not an HDF5"):
        ShardReader(path)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["data"] = [1, 2]
    with pytest.raises(DataError, match="no apollo-shard"):
        ShardReader(tmp_path / "other.h5")


def test_a_whole_folder_passes_and_every_flipped_byte_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "shards" / "test" / "shard-00000.h5")
    listed(tmp_path, path)
    assert list(verify_shards(tmp_path / "shards")) == [(path, [])]
    assert list(verify_shards(path)) == [(path, [])]
    good = path.read_bytes()
    for place in np.linspace(0, len(good) - 1, 25).astype(int):
        bad = bytearray(good)
        bad[place] ^= 0x10
        path.write_bytes(bad)
        ((found, problems),) = verify_shards(tmp_path / "shards")
        assert found == path
        assert any("SHA-256" in problem for problem in problems)


def test_missing_cut_and_strange_shards_are_found(tmp_path: Path) -> None:
    path = write(tmp_path / "shards" / "test" / "shard-00000.h5")
    listed(tmp_path, path)
    extra = write(tmp_path / "shards" / "test" / "shard-00001.h5")
    path.write_bytes(path.read_bytes()[:-100])
    problems = dict(verify_shards(tmp_path / "shards"))
    assert any("bytes" in problem for problem in problems[path])
    assert problems[extra] == ["is not listed in shards.jsonl"]
    path.unlink()
    assert "is missing" in dict(verify_shards(tmp_path / "shards"))[path][0]


def test_content_that_breaks_the_format_is_found_without_a_manifest(tmp_path: Path) -> None:
    path = write(tmp_path / "shard-00000.h5")
    with h5py.File(path, "r+") as shard:
        shard["pair/target_index"][0] = 7
    assert dict(verify_shards(path))[path] == ["/pair/target_index points outside /target"]
    silent = write(tmp_path / "shard-00001.h5")
    with h5py.File(silent, "r+") as shard:
        shard["target"][1] = 0
        del shard.attrs["complete"]
    assert "never finished" in dict(verify_shards(silent))[silent][0]
    with h5py.File(silent, "r+") as shard:
        shard.attrs["complete"] = True
    assert dict(verify_shards(silent))[silent] == ["the target of pair 2 is silent"]


NO_LOCKS = """
import errno, fcntl, sys
import h5py
from apollo_data.cli import main
opened = h5py.File.__init__

def init(self, *arguments, locking=None, **options):
    # What HDF5 does on a mount without locks (NFS without lockd), where it is asked for one.
    if locking is not False and not isinstance(arguments[0], h5py.h5f.FileID):
        raise OSError(errno.ENOLCK, "unable to lock file")
    opened(self, *arguments, locking=locking, **options)

h5py.File.__init__ = init
main()
"""


def test_reading_needs_no_lock(tmp_path: Path) -> None:
    path = write(tmp_path / "shards" / "test" / "shard-00000.h5")
    listed(tmp_path, path)
    with h5py.File(path, "r"):  # this process has it open in its own way
        assert list(verify_shards(path)) == [(path, [])]
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert list(verify_shards(path)) == [(path, [])]
    command = [sys.executable, "-c", NO_LOCKS, "verify", str(tmp_path / "shards")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "1 shards are whole\n"), done.stderr


def test_deleting_is_advised_for_damage_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "shards" / "test" / "shard-00000.h5")
    listed(tmp_path, path)

    def refuse(_path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("apollo_data.shards.verification.sha256_file", refuse)
        ((_, problems),) = verify_shards(path)
        assert [problem.kind for problem in problems] == ["unreadable"]
        assert "delete" not in describe_problems({"a": problems})
    path.write_bytes(path.read_bytes()[:-100])
    ((_, problems),) = verify_shards(path)
    assert "delete them and run build-h5" in describe_problems({"a": problems})
    path.unlink()
    ((_, problems),) = verify_shards(tmp_path / "shards")
    assert describe_problems({"a": problems}) == "1 missing or not listed (run build-h5 again)"


def test_a_folder_without_shards_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no shards of split 'train'"):
        find_shards(tmp_path, "train")
    with pytest.raises(DataError, match="no such file"):
        list(verify_shards(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="holds no shards"):
        list(verify_shards(tmp_path))


def test_the_bytes_do_not_depend_on_who_else_holds_a_dataset(tmp_path: Path) -> None:
    files = []
    for name in ("alone", "held"):
        with ShardWriter(tmp_path / name, HEAD, 3, 3) as shard:
            held = [shard._file[side] for side in ("target", "codec")] if name == "held" else []
            for index in range(3):
                shard.add(recipe(index, 64), noise(index), [noise(index + 9)], [64.0])
        assert all(not dataset for dataset in held)  # closed with the file
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
