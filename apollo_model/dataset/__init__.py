"""Pairs for training: from shards or mixed live, in shuffled, counted batches (docs/loading.md)."""

from apollo_model.dataset.batch import Pair, PairBatch, collate_pairs, to_float
from apollo_model.dataset.live import LiveMixDataset
from apollo_model.dataset.loader import PairLoader
from apollo_model.dataset.pairs import PairDataset
from apollo_model.dataset.sampling import ShardBatches
from apollo_model.dataset.shards import PairInfo, ShardDataset

__all__ = [
    "LiveMixDataset",
    "Pair",
    "PairBatch",
    "PairDataset",
    "PairInfo",
    "PairLoader",
    "ShardBatches",
    "ShardDataset",
    "collate_pairs",
    "to_float",
]
