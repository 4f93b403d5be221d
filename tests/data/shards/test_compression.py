"""Shards as they may be stored: compressed, and with their stems."""

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.small_songs import small_settings

from apollo_data.console import Console
from apollo_data.errors import ToolError
from apollo_data.pipeline import build_h5
from apollo_data.shards import ShardReader, find_shards, verify_shards
from apollo_data.workspace.folder import WorkFolder

QUIET = Console(quiet=True)


def build(songs: Path, out: Path, split: str = "train", **stored: object) -> list[Path]:
    sizes = {"train_clips": 6, "valid_clips": 2, "clips_per_shard": 6}
    settings = small_settings(
        shards={**sizes, **stored},
        evaluation={"per_category": 0},
        mixing={"clip_seconds": 1.0, "whole_mixture_share": 0.3},
        activity={"detector": "energy"},
    )
    build_h5(songs, WorkFolder.at(out), settings, 1, QUIET)
    assert all(not problems for _, problems in verify_shards(out))
    return find_shards(out / "shards", split)


@pytest.fixture(scope="module")
def plain(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(songs, tmp_path_factory.mktemp("plain"))[0]


@pytest.mark.parametrize("name", ["lzf", "gzip", "blosc2"])
def test_compressed_shards_are_smaller_and_hold_the_same(
    songs: Path, plain: Path, tmp_path: Path, name: str
) -> None:
    (path,) = build(songs, tmp_path, compression=name)
    assert path.stat().st_size < plain.stat().st_size
    with ShardReader(path) as small, ShardReader(plain) as large:
        assert small.recipes() == large.recipes()
        for pair in range(large.pairs):
            assert np.array_equal(small.read_coded(pair), large.read_coded(pair))
            assert np.array_equal(small.read_pair(pair)[1], large.read_pair(pair)[1])


def test_without_the_plugin_both_ways_end_in_one_clear_line(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = build(songs, tmp_path / "made", compression="blosc2")
    # In a process of its own: once loaded, the plugin stays with HDF5.
    program = (
        "import sys; sys.modules['hdf5plugin'] = None\n"
        "from apollo_data.cli import main; sys.argv[1:] = ['inspect', sys.argv[1]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {path}: blosc2 needs the package hdf5plugin; "
        "pip install 'apollo-toolkit[compression]'"
    ]
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(ToolError, match=r"apollo-toolkit\[compression\]"):
        build(songs, tmp_path / "not", compression="blosc2")
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_stems_sum_to_their_target(songs: Path, plain: Path, tmp_path: Path, dtype: str) -> None:
    (path,) = build(songs, tmp_path, stems=True, dtype=dtype)
    with ShardReader(path) as shard, ShardReader(plain) as without:
        assert without.stems == 0
        recipes = shard.recipes()
        assert any(recipe.mixture for recipe in recipes)
        assert shard.stems == sum(len(recipe.stems) for recipe in recipes) > len(recipes) / 2
        for target, recipe in enumerate(recipes):
            own = np.flatnonzero(shard.stem_index == target)
            names = [clip.stem_class for clip in recipe.stems]
            assert shard.stem_classes[own].tolist() == names
            if names:
                clean = shard.read_pair(target)[1]
                error = np.abs(sum(shard.read_stem(stem) for stem in own) - clean).max()
                step = 1 / 32767 if dtype == "int16" else 1e-6
                assert error <= step * (1 + shard.stem_scale[own].sum()) / 2
        if dtype == "int16":  # the same targets, whether stems are stored or not
            for target in range(shard.targets):
                assert np.array_equal(shard.read_target(target), without.read_target(target))


def test_stems_that_do_not_sum_or_belong_are_found(songs: Path, tmp_path: Path) -> None:
    (path,) = build(songs, tmp_path, stems=True)
    with h5py.File(path, "r+") as shard:
        target = int(shard["stem_index/target"][1])
        shard["stem"][1] = shard["stem"][1] // 2
    assert f"the stems of target {target} do not sum to it" in dict(verify_shards(path))[path]
    with h5py.File(path, "r+") as shard:
        shard["stem_index/target"][1] = 99
    assert "/stem_index is not as the recipes say" in dict(verify_shards(path))[path]
