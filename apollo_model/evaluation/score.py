"""Scores of restored music, always beside those of the unrestored codec.

The published figures leave the codec's own scores out; without them nobody can tell what
a network has gained. Scores are means over clips of means over channels.
"""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.records import CATEGORIES, PAIRED
from apollo_data.shards import find_shards
from apollo_data.storage import whole_file
from apollo_model.dataset import PairInfo, ShardDataset
from apollo_model.evaluation.metrics import is_silent, sdr, si_snr
from apollo_model.network.apollo import Apollo
from apollo_model.network.memory import keep_freed_memory

CODEC = "codec"
"""Name of the system that restores nothing."""

METRICS = ("si_snr", "sdr")


@dataclass(frozen=True)
class Score:
    """One system on one pair; a row of scores.csv. A score that cannot be computed is None."""

    system: str
    shard: str
    pair: int
    target: int
    category: str
    codec: str
    requested_kbps: float
    actual_kbps: float
    coding: str
    si_snr: float | None
    sdr: float | None


def evaluate(
    networks: dict[str, Apollo], shards: Path, out: Path, console: Console, device: str = "cpu"
) -> dict[str, Any]:
    """Score networks and the codec itself on the test shards; write scores.csv and summary.json.

    Parameters
    ----------
    networks
        Networks by the name that the tables give them; ``codec`` is taken.
    shards
        Folder with ``test``, or one shard.
    out
        Where to write.

    Returns
    -------
    dict
        The content of summary.json.

    Raises
    ------
    DataError
        There are no test shards, or nothing in them can be scored.
    """
    if CODEC in networks:
        raise DataError(f"a checkpoint cannot be called {CODEC!r}: that is the unrestored codec")
    keep_freed_memory()
    dataset = ShardDataset(find_shards(shards, "test"))
    if not len(dataset):
        raise DataError(f"{shards}: the test shards hold no pairs")
    scores: list[Score] = []
    silent = 0
    with console.progress("eval", len(dataset), "pairs") as advance:
        for index in range(len(dataset)):
            found = list(_score_pair(networks, dataset, index, device))
            silent += not found
            scores += found
            advance(1)
    if not scores:
        raise DataError(f"{shards}: every target is silent")
    if silent:
        console.warn(f"{silent} of {len(dataset)} pairs have a silent target and are not scored")
    summary = {"systems": summarise(scores), "pairs": len(dataset), "silent": silent}
    _write_scores(out / "scores.csv", scores)
    with whole_file(out / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


@torch.inference_mode()
def _score_pair(
    networks: dict[str, Apollo], dataset: ShardDataset, index: int, device: str
) -> Iterator[Score]:
    coded, clean = dataset[index]
    if is_silent(clean):
        return
    info = dataset.describe(index)
    yield _score(CODEC, info, coded, clean)
    for name, network in networks.items():
        yield _score(name, info, network(coded[None].to(device))[0].float().cpu(), clean)


def _score(system: str, info: PairInfo, estimate: torch.Tensor, clean: torch.Tensor) -> Score:
    return Score(
        system=system,
        shard=info.shard.name,
        pair=info.pair,
        target=info.target,
        category=info.category,
        codec=info.codec,
        requested_kbps=info.requested_kbps,
        actual_kbps=info.actual_kbps,
        coding=info.coding,
        si_snr=_finite(si_snr(estimate, clean)),
        sdr=_finite(sdr(estimate, clean)),
    )


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None


def summarise(scores: Sequence[Score]) -> dict[str, Any]:
    """Return each system's mean scores overall, by bitrate and by category.

    Categories stand in the paper's order, bitrates of MP3 in rising order; after them other
    codings by their names.
    """
    codings = {score.coding: _bitrate_case(score) for score in sorted(scores, key=_coding_order)}
    systems: dict[str, Any] = {}
    for name in dict.fromkeys(score.system for score in scores):
        own = [score for score in scores if score.system == name]
        systems[name] = {
            "overall": _means(own),
            "by_bitrate": {
                case: _means([score for score in own if score.coding == coding])
                for coding, case in codings.items()
            },
            "by_category": {
                category: _means([score for score in own if score.category == category])
                for category in (*CATEGORIES, PAIRED)
                if any(score.category == category for score in own)
            },
        }
    return systems


def _bitrate_case(score: Score) -> str:
    """Return the bitrate alone for MP3 at constant bitrate, the whole coding for all others."""
    kbps = f"{score.requested_kbps:g}"
    return kbps if score.coding == f"mp3 {kbps}" else score.coding


def _coding_order(score: Score) -> tuple[bool, str, float, str]:
    """Sort plain MP3 first, then by codec, bitrate and the rest; variable bitrates come last."""
    plain = _bitrate_case(score) != score.coding
    kbps = math.inf if math.isnan(score.requested_kbps) else score.requested_kbps
    return not plain, score.codec, kbps, score.coding


def _means(scores: Sequence[Score]) -> dict[str, float | int | None]:
    means: dict[str, float | int | None] = {"n": len(scores)}
    for metric in METRICS:
        values = [value for score in scores if (value := getattr(score, metric)) is not None]
        means[metric] = float(np.mean(values)) if values else None
    return means


def _write_scores(path: Path, scores: Sequence[Score]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        table = csv.DictWriter(out, list(asdict(scores[0])))
        table.writeheader()
        table.writerows(asdict(score) for score in scores)
