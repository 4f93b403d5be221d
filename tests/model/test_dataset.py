import pickle
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from apollo_data.shards import ShardReader, find_shards
from apollo_model.dataset import ShardDataset


def test_items_are_the_pairs_of_all_shards_in_order(shards: Path) -> None:
    paths = find_shards(shards, "train")
    dataset = ShardDataset(paths)
    assert len(dataset) == 6
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


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_worker_processes_read_the_same(shards: Path, context: str) -> None:
    dataset = ShardDataset(find_shards(shards, "train"))
    expected = torch.stack([dataset[index][0] for index in range(len(dataset))])
    loader = DataLoader(dataset, batch_size=3, num_workers=1, multiprocessing_context=context)
    assert torch.equal(torch.cat([coded for coded, _ in loader]), expected)


def test_a_data_set_survives_pickling_while_open(shards: Path) -> None:
    dataset = ShardDataset(find_shards(shards, "valid"))
    first = dataset[0][0]
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0][0], first)
    assert torch.equal(dataset[0][0], first)
