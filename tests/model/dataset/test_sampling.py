import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from apollo_data.errors import DataError
from apollo_data.shards import find_shards
from apollo_model.dataset import PairLoader, ShardBatches, ShardDataset

BLOCKS = (5, 8, 8, 3, 8, 8, 1)  # 41 pairs


def epoch_of(batches: ShardBatches, epoch: int = 0) -> list[int]:
    batches.set_epoch(epoch)
    return [pair for batch in batches for pair in batch]


def test_every_pair_comes_once_an_epoch_in_an_order_of_its_own() -> None:
    batches = ShardBatches(BLOCKS, 4, seed=3)
    orders = [epoch_of(batches, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(41)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert epoch_of(ShardBatches(BLOCKS, 7, seed=3), 1) == orders[1]
    assert epoch_of(ShardBatches(BLOCKS, 4, seed=4)) != orders[0]
    assert [len(batch) for batch in batches] == [4] * 10 + [1]
    assert len(batches) == 11


def test_shards_are_read_window_by_window() -> None:
    blocks = [8] * 6
    order = epoch_of(ShardBatches(blocks, 4, window_shards=2))
    shards = [pair // 8 for pair in order]
    windows = [set(shards[first : first + 16]) for first in range(0, 48, 16)]
    assert all(len(window) == 2 for window in windows)
    assert set.union(*windows) == set(range(6))
    assert all(sum(a != b for a, b in pairwise(shards[n : n + 16])) > 1 for n in (0, 16, 32))
    alone = [pair // 8 for pair in epoch_of(ShardBatches(blocks, 4, window_shards=1))]
    assert sum(a != b for a, b in pairwise(alone)) == 5
    assert alone != sorted(alone)


@pytest.mark.parametrize(("ranks", "accumulate"), [(1, 8), (2, 4), (4, 2)])
def test_a_step_takes_the_same_batches_however_they_are_divided(
    ranks: int, accumulate: int
) -> None:
    whole = ShardBatches(BLOCKS, 2, seed=3, ranks=8)
    expected = [ShardBatches(BLOCKS, 2, seed=3, rank=rank, ranks=8) for rank in range(8)]
    shares = [
        ShardBatches(BLOCKS, 2, seed=3, rank=rank, ranks=ranks, accumulate=accumulate)
        for rank in range(ranks)
    ]
    for epoch in range(2):
        for share in (*expected, *shares):
            share.set_epoch(epoch)
        steps = list(zip(*expected, strict=True))
        assert [len(step[0]) for step in steps] == [2, 2, 1]
        own = [list(share) for share in shares]
        for number, step in enumerate(steps):
            first = number * accumulate
            taken = [batch for share in own for batch in share[first : first + accumulate]]
            assert taken == list(step)
            assert shares[-1].batch(first) == own[-1][first]
    assert len(whole) == 3


def test_a_state_holds_for_another_division_of_the_same_step() -> None:
    state = ShardBatches(BLOCKS, 2, seed=3, ranks=2).state_dict(taken=5)
    alone = ShardBatches(BLOCKS, 2, seed=3, accumulate=2)
    alone.load_state_dict(state)
    assert len(list(alone)) == 2 * len(ShardBatches(BLOCKS, 2, ranks=2)) - 10


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_ranks_share_an_epoch_equally(ranks: int) -> None:
    shares = [ShardBatches(BLOCKS, 4, rank=rank, ranks=ranks) for rank in range(ranks)]
    left_out = []
    for epoch in range(3):
        own = [epoch_of(share, epoch) for share in shares]
        assert {len(pairs) for pairs in own} == {41 // ranks}
        taken = {pair for pairs in own for pair in pairs}
        assert len(taken) == 41 // ranks * ranks
        left_out.append(set(range(41)) - taken)
    assert len({len(share) for share in shares}) == 1
    assert left_out[0] != left_out[1] or left_out[1] != left_out[2]


def test_what_cannot_be_divided_is_an_error() -> None:
    with pytest.raises(DataError, match="1 pairs cannot be divided among 2 ranks"):
        ShardBatches([1], 4, ranks=2)
    with pytest.raises(ValueError, match="rank 2 of 2"):
        ShardBatches(BLOCKS, 4, rank=2, ranks=2)


def loader_of(shards: Path, workers: int, **options: object) -> PairLoader:
    dataset = ShardDataset(find_shards(shards, "train"), 1000)
    method = "fork" if workers else None
    return PairLoader(dataset, 1, seed=7, workers=workers, start_method=method, **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_where_it_was_stopped(shards: Path, workers: int) -> None:
    unbroken = loader_of(shards, 0)
    unbroken.set_epoch(3)
    expected = [coded for coded, _ in unbroken]
    stopped = loader_of(shards, workers)
    stopped.set_epoch(3)
    for number, (coded, _) in enumerate(stopped):
        assert torch.equal(coded, expected[number])
        if number == 1:  # workers have read further by now
            break
    state = json.loads(json.dumps(stopped.state_dict()))
    resumed = loader_of(shards, workers)
    resumed.load_state_dict(state)
    assert resumed.epoch == 3
    resumed.set_epoch(3)
    rest = [coded for coded, _ in resumed]
    assert len(rest) == 4
    assert all(map(torch.equal, rest, expected[2:]))
    assert resumed.state_dict()["steps"] == 6
    again = [coded for coded, _ in resumed]  # the next time round is a whole one
    assert len(again) == 6
    resumed.set_epoch(4)
    assert resumed.state_dict()["steps"] == 0
    assert len(list(resumed)) == 6


def test_a_finished_epoch_stays_finished(shards: Path) -> None:
    loader = loader_of(shards, 0)
    list(loader)
    other = loader_of(shards, 0)
    other.load_state_dict(loader.state_dict())
    assert list(other) == []
    other.set_epoch(1)
    assert len(list(other)) == 6


def test_a_state_of_other_data_is_refused(shards: Path) -> None:
    state = loader_of(shards, 0).state_dict()
    with pytest.raises(DataError, match="has batches_per_step 1, this loader 2"):
        loader_of(shards, 0, ranks=2).load_state_dict(state)


def test_the_global_random_state_is_left_alone(shards: Path) -> None:
    before = torch.get_rng_state()
    list(loader_of(shards, 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_spawned_workers_give_the_same_epochs(shards: Path) -> None:
    dataset = ShardDataset(find_shards(shards, "train"), 1000, as_stored=True)
    here = PairLoader(dataset, 4)
    there = PairLoader(dataset, 4, workers=1, start_method="spawn")
    for epoch in (1, 2):
        here.set_epoch(epoch)
        expected = list(here)
        there.set_epoch(epoch)
        for first, second in zip(expected, there, strict=True):
            assert all(map(torch.equal, first, second))


def test_the_documented_loop_runs(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs/loading.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/demo").symlink_to(shards.parent)
    (tmp_path / "pipelines").symlink_to(root / "pipelines")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in (*blocks[:1], *blocks[2:]):  # the second needs several processes
        exec(compile(block, "docs/loading.md", "exec"), names)
    assert names["loader"].state_dict()["steps"] == 3
    assert names["loader"].epoch == 1
    assert len(names["live"]) == 10
