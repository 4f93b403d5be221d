"""Validation: a network's mean scores on the valid shards, shared out among the processes."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from apollo_data.errors import DataError
from apollo_model import evaluation
from apollo_model.dataset import ShardDataset
from apollo_model.evaluation.metrics import is_silent
from apollo_model.network.base import Network
from apollo_model.training.distributed import World
from apollo_model.training.observers import Scores

Metric = Callable[[Tensor, Tensor], float]
"""A score of (estimate, clean), each (2, samples) on the CPU."""

LOWER_IS_BETTER = frozenset({"spectral", "lsd"})
_DB_OF_LOG10 = 10


class Stopped(Exception):  # noqa: N818 (no error: somebody asked for it)
    """The run was asked to stop while it was at work on something that can be done anew."""


class Validation:
    """The pairs to validate on, and what to measure.

    Parameters
    ----------
    dataset
        Whole clips.
    metrics
        Names as in `training.validation_metrics`.
    world
        The processes that share the pairs.

    Raises
    ------
    DataError
        No pair can be scored: all targets are silent or not finite, or too short.
    """

    def __init__(
        self, dataset: ShardDataset, metrics: Sequence[str], sample_rate: int, world: World
    ) -> None:
        if "visqol" in metrics and dataset.samples < sample_rate:
            raise DataError(
                "training: the metric visqol needs clips of 1 s or more, the valid shards have "
                f"{dataset.samples / sample_rate:g} s; choose another in validation_metrics and "
                "choose_by"
            )
        self.dataset = dataset
        self._metrics = {name: _metric(name, sample_rate) for name in dict.fromkeys(metrics)}
        self._world = world
        own = range(world.rank, len(dataset), world.ranks)
        shares = world.gather([n for n in own if self._can_be_scored(n)])
        usable = sorted(itertools.chain.from_iterable(shares))
        if not usable:
            raise DataError(
                f"{dataset.describe(0).shard.parent}: no pair can be scored, every target is "
                "silent or not finite; build other valid shards"
            )
        self._pairs = usable
        self.left_out = len(dataset) - len(usable)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what is measured."""
        return tuple(self._metrics)

    def _can_be_scored(self, pair: int) -> bool:
        coded, clean = self.dataset[pair]
        finite = torch.isfinite(coded).all() and torch.isfinite(clean).all()
        return bool(finite) and not is_silent(clean)

    @torch.inference_mode()
    def score(self, network: Network | None, should_stop: Callable[[], bool]) -> Scores:
        """Return the mean scores of a network, or of what goes in without one.

        A network that gives values which are not finite has NaN for its scores.

        Raises
        ------
        Stopped
            `should_stop` said so in one of the processes.
        """
        training = network.training if network else False
        found: list[tuple[int, dict[str, float]]] = []
        if network:
            network.eval()
        try:
            # In rounds, so that all processes ask for a stop together.
            for first in range(0, len(self._pairs), self._world.ranks):
                if self._world.any(should_stop())[0]:
                    raise Stopped
                place = first + self._world.rank
                if place < len(self._pairs):
                    found.append((place, self._score_pair(network, self._pairs[place])))
        finally:
            if network:
                network.train(training)
        every = dict(itertools.chain.from_iterable(self._world.gather(found)))
        rows = [every[place] for place in range(len(self._pairs))]
        return {name: float(np.mean([row[name] for row in rows])) for name in self._metrics}

    def _score_pair(self, network: Network | None, pair: int) -> dict[str, float]:
        coded, clean = self.dataset[pair]
        estimate = coded
        if network is not None:
            estimate = network(coded[None].to(self._world.device))[0].float().cpu()
        if not bool(torch.isfinite(estimate).all()):
            return dict.fromkeys(self._metrics, math.nan)
        return {name: metric(estimate, clean) for name, metric in self._metrics.items()}


def is_better(metric: str, score: float, than: float) -> bool:
    """Tell whether a score is better; NaN never is, and any number is better than NaN."""
    if math.isnan(score) or math.isnan(than):
        return not math.isnan(score)
    return score < than if metric in LOWER_IS_BETTER else score > than


def _metric(name: str, sample_rate: int) -> Metric:
    if name == "visqol":
        return functools.partial(evaluation.visqol, sample_rate=sample_rate)
    if name == "lsd":
        return lambda *pair: _DB_OF_LOG10 * evaluation.log_spectral_distance(*pair)
    measure: Callable[..., Any] = {
        "si_snr": evaluation.si_snr,
        "sdr": evaluation.sdr,
        "spectral": evaluation.multi_resolution_distance,
    }[name]
    return lambda *pair: float(measure(*pair))
