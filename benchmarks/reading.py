"""Pairs a second out of shards: the training's loader beside plain h5py."""

from pathlib import Path

import h5py
import numpy as np

from apollo_data.shards import find_shards
from apollo_model.dataset import ShardDataset
from benchmarks.figure import Figure, seconds

_BATCH = 32


def measure(folder: Path) -> list[Figure]:
    """Read all pairs that `benchmarks.building` has built, in a drawn order."""
    shards = find_shards(folder / "work" / "shards", "train")
    dataset = ShardDataset(shards)
    order = np.random.default_rng(0).permutation(len(dataset)).tolist()
    files = [h5py.File(shard) for shard in shards]
    places = [(file, pair) for file in files for pair in range(len(file["codec"]))]

    def plain(number: int) -> tuple[np.ndarray, np.ndarray]:
        file, pair = places[number]
        target = file["target"][file["pair/target_index"][pair]]
        return file["codec"][pair] / np.float32(32767), target / np.float32(32767)

    batches = [order[first : first + _BATCH] for first in range(0, len(order), _BATCH)]
    loader = len(order) / seconds(lambda: [dataset.__getitems__(batch) for batch in batches], 5)
    by_hand = len(order) / seconds(lambda: [plain(number) for number in order], 5)
    return [Figure("ShardDataset, 32 a batch", loader, "pairs/s", by_hand, "h5py, pair by pair")]
