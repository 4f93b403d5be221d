"""The work on one pair: read it once, restore it once with each system, score the results."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from apollo_model.evaluation.metrics import is_silent
from apollo_model.evaluation.metrics.clip import ClipReference
from apollo_model.evaluation.pairs import Pair, read_pair
from apollo_model.evaluation.systems.network import NetworkSystem
from apollo_model.evaluation.systems.system import Restored, System, SystemFailure
from apollo_model.network.memory import keep_freed_memory

Array = npt.NDArray[Any]

GPU_BATCH = 8

SILENT = "silent reference"


@dataclass(frozen=True)
class Job:
    """A pair, by its place in the list, and the systems that have no scores of it yet.

    `delivered` are results that were made before, on a GPU, or the reasons why there are none.
    """

    place: int
    pair: Pair
    systems: tuple[System, ...]
    metrics: tuple[str, ...]
    sample_rate: int
    several_processes: bool = False
    delivered: dict[str, "Array | str"] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """The scores of one system; `problems` say of each missing one why it is."""

    scores: dict[str, float | None]
    problems: dict[str, str]
    remarks: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class Scored:
    """What a job found: a result a system; none, and `silent`, where the target is silent."""

    place: int
    silent: bool
    results: dict[str, Result]


def score_pair(job: Job) -> Scored:
    """Do a job."""
    if job.several_processes:
        torch.set_num_threads(1)
    keep_freed_memory()
    coded, clean = read_pair(job.pair)
    if is_silent(clean):
        return Scored(job.place, True, {})
    reference = ClipReference(clean, coded, job.sample_rate)
    results = {}
    for system in job.systems:
        try:
            restored = _restored(job, system, coded)
        except SystemFailure as failure:
            results[system.name] = Result({}, {"result": str(failure)}, failed=True)
            continue
        measured = reference.measure(restored.audio, job.metrics)
        results[system.name] = Result(measured.scores, measured.problems, restored.remarks)
    return Scored(job.place, False, results)


def _restored(job: Job, system: System, coded: Array) -> Restored:
    before = job.delivered.get(system.name)
    if isinstance(before, str):
        raise SystemFailure(before)
    if before is not None:
        return Restored(before)
    return system.restore(coded, job.sample_rate, job.pair)


def with_results_of_gpu(jobs: Iterator[Job], on_gpu: Sequence[NetworkSystem]) -> Iterator[Job]:
    """Restore with the networks that are on a GPU, a few pairs at once; hand the results on."""
    batch: list[Job] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == GPU_BATCH:
            yield from _restored_batch(batch, on_gpu)
            batch = []
    yield from _restored_batch(batch, on_gpu)


def _restored_batch(batch: list[Job], on_gpu: Sequence[NetworkSystem]) -> list[Job]:
    delivered: list[dict[str, Array | str]] = [{} for _ in batch]
    coded = [read_pair(job.pair)[0] for job in batch]
    for system in on_gpu:
        wanted = [n for n, job in enumerate(batch) if system.name in {s.name for s in job.systems}]
        if not wanted:
            continue
        try:
            results: Sequence[Array | str] = system.restore_batch(
                [coded[n] for n in wanted], batch[wanted[0]].pair.identity
            )
        except SystemFailure as failure:
            results = [str(failure)] * len(wanted)
        for number, result in zip(wanted, results, strict=True):
            delivered[number][system.name] = result
    return [
        dataclasses.replace(job, delivered=results)
        for job, results in zip(batch, delivered, strict=True)
    ]


def clip_audio(pair: Pair, systems: Sequence[System], sample_rate: int) -> dict[str, Array]:
    """Return the target and what each system makes of a pair, by name; failures are left out."""
    coded, clean = read_pair(pair)
    versions = {"target": clean}
    for system in systems:
        try:
            audio = system.task(pair).restore(coded, sample_rate, pair).audio
        except SystemFailure:
            continue
        if np.isfinite(audio).all():
            versions[system.name] = audio
    return versions
