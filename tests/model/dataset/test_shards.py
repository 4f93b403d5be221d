import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from apollo_data.errors import DataError
from apollo_data.shards import ShardReader, find_shards
from apollo_model.dataset import ShardDataset, collate_pairs, to_float


def rewrite(source: Path, out: Path, floats: bool = False, **storage: object) -> Path:
    """Copy a shard, its clips as float32 or in another storage."""
    shutil.copyfile(source, out)
    with h5py.File(out, "r+") as shard:
        for name in ("codec", "target"):
            clips = shard[name][:]
            del shard[name]
            if floats:
                clips = clips.astype(np.float32) / np.float32(32767)
            shard.create_dataset(name, data=clips, chunks=(1, *clips.shape[1:]), **storage)
    return out


def test_items_are_the_pairs_of_all_shards_in_order(shards: Path) -> None:
    paths = find_shards(shards, "train")
    dataset = ShardDataset(paths)
    assert len(dataset) == 6
    assert dataset.blocks == (4, 2)
    index = 0
    for path in paths:
        with ShardReader(path) as shard:
            for pair in range(shard.pairs):
                coded, clean = dataset[index]
                expected = shard.read_pair(pair)
                assert coded.shape == clean.shape == (2, 22050)
                assert coded.dtype == clean.dtype == torch.float32
                assert torch.equal(coded, torch.from_numpy(expected[0]))
                assert torch.equal(clean, torch.from_numpy(expected[1]))
                index += 1
    with pytest.raises(IndexError):
        dataset[6]


def test_a_batch_is_its_items_in_the_order_asked_for(shards: Path) -> None:
    paths = find_shards(shards, "train")
    dataset = ShardDataset(paths)
    asked = [5, 0, 3, 3, 1]
    coded, clean = collate_pairs(dataset.__getitems__(asked))
    assert coded.shape == (5, 2, 22050)
    for place, index in enumerate(asked):
        assert torch.equal(coded[place], dataset[index][0])
        assert torch.equal(clean[place], dataset[index][1])
    whole = DataLoader(dataset, batch_size=6, collate_fn=collate_pairs)
    plain = DataLoader(Subset(dataset, range(6)), batch_size=6)  # PyTorch's own collating
    for first, second in zip(next(iter(whole)), next(iter(plain)), strict=True):
        assert torch.equal(first, second)


def test_batches_that_are_still_looked_at_are_never_overwritten(shards: Path) -> None:
    dataset = ShardDataset(find_shards(shards, "train"))
    fresh = ShardDataset(find_shards(shards, "train"))
    kept = []
    places = set()
    for turn in range(9):
        (coded, clean) = collate_pairs(dataset.__getitems__([turn % 6, (turn + 1) % 6]))
        places.add(coded.data_ptr())
        if turn % 2:
            kept.append((turn % 6, coded[0].T, clean[:1]))  # views, alive beyond the batch
    assert len(places) < 9  # the others' memory was taken again
    for index, coded, clean in kept:
        assert torch.equal(coded.T, fresh[index][0])
        assert torch.equal(clean[0], fresh[index][1])


@pytest.mark.parametrize("crop", [None, 1000])
def test_stored_samples_become_the_same_floats_later(shards: Path, crop: int | None) -> None:
    paths = find_shards(shards, "train")
    stored, floats = ShardDataset(paths, crop, as_stored=True), ShardDataset(paths, crop)
    batch = collate_pairs(stored.__getitems__([4, 1]))
    assert batch[0].dtype == batch[1].dtype == torch.int16
    expected = collate_pairs(floats.__getitems__([4, 1]))
    assert all(map(torch.equal, to_float(batch), expected))
    assert all(map(torch.equal, to_float(expected), expected))


@pytest.mark.parametrize("storage", [{"compression": "gzip", "shuffle": True}, {"dtype": ">i2"}])
def test_compressed_and_foreign_shards_are_read_too(
    shards: Path, tmp_path: Path, storage: dict[str, object]
) -> None:
    (first, *_) = find_shards(shards, "train")
    other = rewrite(first, tmp_path / "other.h5", **storage)
    for kept, read in zip(ShardDataset([first])[2], ShardDataset([other])[2], strict=True):
        assert torch.equal(kept, read)


def test_float32_shards_are_read_as_they_are(shards: Path, tmp_path: Path) -> None:
    (first, *_) = find_shards(shards, "train")
    floats = rewrite(first, tmp_path / "floats.h5", floats=True)
    dataset = ShardDataset([floats], as_stored=True)
    assert dataset.dtype == torch.float32
    assert torch.equal(dataset[1][0], ShardDataset([first])[1][0])
    with pytest.raises(DataError, match="load them apart"):
        ShardDataset([first, floats])


def test_crops_are_the_same_stretch_of_both_sides_and_follow_from_seed_and_epoch(
    shards: Path,
) -> None:
    paths = find_shards(shards, "train")
    whole, cropped = ShardDataset(paths), ShardDataset(paths, 1000, seed=1)
    coded, clean = cropped[3]
    full_coded, full_clean = whole[3]
    windows = full_clean.unfold(1, 1000, 1)  # (2, starts, 1000)
    (start,) = (windows == clean[:, None]).all(-1).all(0).nonzero()[:, 0].tolist()
    assert torch.equal(coded, full_coded[:, start : start + 1000])
    again = ShardDataset(paths, 1000, seed=1)
    assert torch.equal(again[3][1], clean)
    again.set_epoch(1)
    assert not torch.equal(again[3][1], clean)
    assert ShardDataset(paths, 10**9)[0][0].shape == (2, 22050)


def test_pairs_are_described(shards: Path) -> None:
    dataset = ShardDataset(find_shards(shards, "test"))
    infos = [dataset.describe(index) for index in range(len(dataset))]
    assert [info.requested_kbps for info in infos[:6]] == [24, 32, 48, 64, 96, 128]
    assert {info.category for info in infos} == {
        "vocal",
        "single_stem",
        "multi_stems",
        "multi_stems_vocal",
    }
    assert {info.codec for info in infos} == {"mp3"}


def open_files(folder: Path) -> int:
    """How many files below `folder` this process holds open."""
    links = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sum(link.is_relative_to(folder) for link in links)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's list of open files")
def test_few_of_many_shards_are_open(shards: Path, tmp_path: Path) -> None:
    (first, *_) = find_shards(shards, "train")
    paths = [Path(shutil.copyfile(first, tmp_path / f"shard-{n}.h5")) for n in range(6)]
    dataset = ShardDataset(paths, max_open=2)
    assert open_files(tmp_path) == 0
    for index in (0, 23, 4, 12, 0):
        assert torch.equal(dataset[index][0], dataset[index % 4][0])
        assert open_files(tmp_path) <= 2
    dataset.close()
    assert open_files(tmp_path) == 0


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_worker_processes_read_the_same(shards: Path, context: str) -> None:
    dataset = ShardDataset(find_shards(shards, "train"))
    expected = torch.stack([dataset[index][0] for index in range(len(dataset))])
    loader = DataLoader(
        dataset,
        batch_size=3,
        num_workers=1,
        multiprocessing_context=context,
        collate_fn=collate_pairs,
    )
    batches = [coded for coded, _ in loader]
    assert all(coded.is_shared() for coded in batches)  # else the way here was a copy
    assert torch.equal(torch.cat(batches), expected)


def test_workers_that_outlive_an_epoch_learn_of_the_next_one(shards: Path) -> None:
    paths = find_shards(shards, "train")
    dataset, here = ShardDataset(paths, 1000), ShardDataset(paths, 1000)
    loader = DataLoader(
        dataset, num_workers=1, persistent_workers=True, multiprocessing_context="fork"
    )
    for epoch in range(2):
        dataset.set_epoch(epoch)
        here.set_epoch(epoch)
        for index, (coded, _) in enumerate(loader):
            assert torch.equal(coded[0], here[index][0])


def test_a_data_set_survives_pickling_while_open(shards: Path) -> None:
    dataset = ShardDataset(find_shards(shards, "valid"))
    first = dataset[0][0]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0][0], first)
    assert torch.equal(dataset[0][0], first)


def test_a_damaged_row_is_a_clear_error(shards: Path, tmp_path: Path) -> None:
    (first, *_) = find_shards(shards, "train")
    packed = rewrite(first, tmp_path / "packed.h5", compression="gzip")
    with h5py.File(packed) as shard:
        place = shard["codec"].id.get_chunk_info(1)
    with packed.open("r+b") as out:
        out.seek(place.byte_offset)
        out.write(bytes(place.size))
    dataset = ShardDataset([packed])
    assert dataset[0][0].any()
    with pytest.raises(DataError, match=r"packed\.h5: row 1 of /codec cannot be read"):
        dataset[1]
