"""Training runs for tests: in this process, or in a child that is really killed."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimiser would, in every child anew

from apollo_data.console import Console
from apollo_data.settings import Settings
from apollo_model.training.observers import Observer, StepRecord, ValidationRecord
from apollo_model.training.run import TrainingReport, train

QUIET = Console(quiet=True)
WAVEFORM = {"adversarial": 0, "feature_matching": 0, "reconstruction": 0.1, "waveform": 1}


class Notes(Observer):
    """Keeps what a run tells, and acts after a step or before a validation."""

    def __init__(
        self,
        after_step: Callable[[int], None] | None = None,
        at_validation: Callable[[int], None] | None = None,
    ) -> None:
        self.steps: list[StepRecord] = []
        self.validations: list[ValidationRecord] = []
        self.ends: list[str] = []
        self._after_step, self._at_validation = after_step, at_validation

    def on_step(self, record: StepRecord) -> None:
        self.steps.append(record)
        if self._after_step:
            self._after_step(record.step)

    def on_validation(self, record: ValidationRecord) -> None:
        self.validations.append(record)
        if self._at_validation:
            self._at_validation(record.epoch)

    def on_end(self, reason: str) -> None:
        self.ends.append(reason)


class Heard(Console):
    """A console that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


def run(settings: Settings, shards: Path, out: Path, **options: Any) -> TrainingReport:
    return train(settings, shards, out, options.pop("console", QUIET), device="cpu", **options)


def send_at(step: int, number: int) -> Notes:
    """An observer that sends its own process a signal after a step."""
    return Notes(lambda now: os.kill(os.getpid(), number) if now == step else None)


def in_child(function: Callable[[], object]) -> int:
    """Call a function in a forked process; return its exit status, negative for a signal."""

    def work() -> None:
        torch.set_num_threads(1)
        function()

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode is not None
    return child.exitcode


def killed_at(step: int, settings: Settings, shards: Path, out: Path) -> None:
    """Let a run go until a step, where it is killed without a word."""
    status = in_child(lambda: run(settings, shards, out, observers=[send_at(step, signal.SIGKILL)]))
    assert status == -signal.SIGKILL


def networks(out: Path) -> dict[str, torch.Tensor]:
    """All weights in a run's last state: both networks and the average."""
    state = torch.load(out / "last.pt", weights_only=True)["trainer"]
    parts = dict(state["networks"])
    if state["average"]:
        parts["average"] = state["average"]["weights"]
    return {f"{part}.{name}": value for part in parts for name, value in parts[part].items()}


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = networks(one), networks(other)
    assert list(first) == list(second)
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different
