"""Shards, format version 1: HDF5 files of codec pairs that plain h5py reads.

`docs/formats.md` lists every dataset. Both sides of a pair are divided by one common
factor, the larger of their peaks (arXiv 2409.08514, section III-A). If one target has
several codings, it is the largest of all their peaks, so that one stored target serves them
all. The factor is stored, so the original levels can be restored.
"""

from apollo_data.shards.layout import (
    FORMAT,
    FORMAT_VERSION,
    INT16_FULL_SCALE,
    common_scale,
    store,
    to_float,
)
from apollo_data.shards.reader import ShardReader, find_shards
from apollo_data.shards.summary import ShardSummary, summarise_shard
from apollo_data.shards.verification import (
    MANIFEST,
    describe_problems,
    find_shard_manifest,
    verify_shards,
)
from apollo_data.shards.writer import ShardHead, ShardWriter

__all__ = [
    "FORMAT",
    "FORMAT_VERSION",
    "INT16_FULL_SCALE",
    "MANIFEST",
    "ShardHead",
    "ShardReader",
    "ShardSummary",
    "ShardWriter",
    "common_scale",
    "describe_problems",
    "find_shard_manifest",
    "find_shards",
    "store",
    "summarise_shard",
    "to_float",
    "verify_shards",
]
