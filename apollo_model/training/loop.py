"""The loop of a run: steps, validations, saved states, and when to stop."""

import functools
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apollo_data.console import Console
from apollo_data.settings import Settings
from apollo_model.dataset import Pair, PairLoader, to_float
from apollo_model.training.bad_steps import BadSteps
from apollo_model.training.best_networks import BestNetworks
from apollo_model.training.distributed import World
from apollo_model.training.history import EpochReport, MeanLosses, write_history
from apollo_model.training.observers import Observer, Scores, StepRecord, ValidationRecord
from apollo_model.training.state_files import StateFiles
from apollo_model.training.step import GENERATOR, StepResult, Trainer
from apollo_model.training.stop_signals import StopWish
from apollo_model.training.validation import Stopped, Validation


@dataclass(frozen=True)
class _Pending:
    """A step whose values are still on the device."""

    step: int
    first_batch: int
    result: StepResult
    learning_rates: dict[str, float]
    seconds: float


class Run:
    """A run between its first and its last step; the same in all processes.

    Parameters
    ----------
    folder
        The run folder; only the writing process touches it.
    identity
        What the state is bound to.
    wish
        Whether somebody wants the run to stop.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        world: World,
        trainer: Trainer,
        loader: PairLoader,
        validation: Validation,
        identity: dict[str, Any],
        console: Console,
        observers: Sequence[Observer],
        wish: StopWish,
    ) -> None:
        self._settings, self._training = settings, settings.training
        self._folder, self.identity = folder, identity
        self._world, self._trainer, self._loader = world, trainer, loader
        self._validation, self._wish = validation, wish
        self._console, self._observers = console, observers
        self._files = StateFiles(folder, console)
        self.best = BestNetworks(folder, settings)
        self.bad_steps = BadSteps(
            loader.dataset, world, console, self._training.max_bad_steps, folder
        )
        self.history: list[EpochReport] = []
        self.codec_scores: Scores = {}
        self._epoch = 1
        self._losses = MeanLosses()
        self._pending: list[_Pending] = []
        self._seconds_before, self._began = 0.0, time.monotonic()
        self._epoch_began = 0.0
        self._saved_at = time.monotonic()

    @property
    def steps(self) -> int:
        """Steps done."""
        return self._trainer.steps

    @property
    def seconds(self) -> float:
        """Time spent so far, over all sessions."""
        return self._seconds_before + time.monotonic() - self._began

    def measure_codec(self) -> Scores:
        """Return the scores of the unrestored validation pairs, measured once in a run.

        Raises
        ------
        Stopped
            The user or the scheduler wanted it.
        """
        if set(self.codec_scores) != set(self._validation.metrics):  # they may change on resuming
            self.codec_scores = self._validation.score(None, lambda: self._wish.is_set)
        return self.codec_scores

    def train(self) -> str:
        """Train until there is a reason to stop, and return it.

        Raises
        ------
        Stopped
            The user or the scheduler wanted it; the state is saved.
        """
        try:
            if not self.history:
                self._validate(0)
                self._save()
            while (reason := self._reason_to_stop()) is None:
                self._train_epoch()
                self._end_epoch()
        except Stopped:
            self._save()
            raise
        return reason

    def _reason_to_stop(self) -> str | None:
        training, epochs = self._training, self.history[-1].epoch
        if epochs >= training.max_epochs:
            return f"all {training.max_epochs} epochs done"
        if epochs and self._world.any(self._time_is_over())[0]:
            return f"{training.max_minutes:g} minutes are over"
        best = self.best.best
        if epochs - (best.epoch if best else 0) >= training.patience_epochs:
            return f"no better validation for {training.patience_epochs} epochs"
        return None

    def _time_is_over(self) -> bool:
        limit = self._training.max_minutes
        return limit is not None and self.seconds >= limit * 60

    def _train_epoch(self) -> None:
        """Train on what is left of the epoch, as long as time is not over."""
        accumulate = self._training.accumulate_steps
        self._loader.set_epoch(self._epoch)
        done = self._loader.taken
        title = f"epoch {self._epoch}"
        with self._console.progress(title, len(self._loader) // accumulate, "steps") as advance:
            advance(done // accumulate)
            group: list[Pair] = []
            for batch in self._loader:
                group.append(to_float(batch, self._trainer.device))
                if len(group) < accumulate:
                    continue
                self._take_step(group)
                group = []
                advance(1)
                wants_stop, is_due, is_over = self._world.any(
                    self._wish.is_set, self._save_is_due(), self._time_is_over()
                )
                if wants_stop:
                    raise Stopped
                if is_due:
                    self._save()
                if is_over:
                    break
        self._read_pending()

    def _take_step(self, group: list[Pair]) -> None:
        rates = self._trainer.learning_rates
        first = self._loader.taken - len(group)
        result = self._trainer.take_step(group)
        self._pending.append(_Pending(self.steps, first, result, rates, self.seconds))
        on_cpu = self._trainer.device.type == "cpu"
        if on_cpu or len(self._pending) >= self._training.log_steps:
            self._read_pending()

    def _read_pending(self) -> None:
        """Fetch the values of the last steps from the device at once, and pass them on."""
        values = _fetch([item.result for item in self._pending])
        everywhere = self._world.gather([losses for losses, _ in values])
        for number, item in enumerate(self._pending):
            own, norms = values[number]
            self.bad_steps.check(item.step, own, norms, functools.partial(self._pairs_of, item))
            losses = {
                name: math.fsum(rank[number][name] for rank in everywhere) / len(everywhere)
                for name in own
            }
            if all(map(math.isfinite, [*losses.values(), *norms.values()])):
                self._losses.add(losses)
            record = StepRecord(
                step=item.step,
                epoch=self._epoch,
                seconds=item.seconds,
                losses=losses,
                gradient_norms=norms,
                learning_rates=item.learning_rates,
                skipped=dict(self.bad_steps.skipped),
            )
            for observer in self._observers:
                observer.on_step(record)
        self._pending.clear()

    def _pairs_of(self, item: _Pending) -> list[int]:
        numbers = range(item.first_batch, item.first_batch + self._training.accumulate_steps)
        return [pair for number in numbers for pair in self._loader.pairs_of(number)]

    def _end_epoch(self) -> None:
        """Validate, let the learning rates fall, save."""
        self._validate(self._epoch)
        self._trainer.end_epoch()
        self._epoch += 1
        self._loader.set_epoch(self._epoch)
        self._losses = MeanLosses()
        self._epoch_began = self.seconds
        self._save()

    def _validate(self, epoch: int) -> None:
        network = self._trainer.restorer
        scores = self._validation.score(network, lambda: self._wish.is_set)
        # A network with random weights is no candidate, but the one that --init named is.
        counts = epoch > 0 or self.identity["init"] is not None
        place = self.best.offer(epoch, self.steps, scores) if counts else None
        report = EpochReport(
            epoch=epoch,
            step=self.steps,
            seconds=self.seconds - self._epoch_began,
            learning_rate=self._trainer.learning_rates[GENERATOR],
            scores=scores,
            losses=self._losses.means,
        )
        self.history.append(report)
        if self._world.is_writer:
            if place is not None:
                self.best.write(network, place, scores)
            write_history(self._folder / "history.csv", self.history)
        self._tell(report, place == 0)
        record = ValidationRecord(self.steps, epoch, scores, self.codec_scores, place == 0, network)
        for observer in self._observers:
            observer.on_validation(record)

    def _tell(self, report: EpochReport, is_best: bool) -> None:
        name = self._training.choose_by
        score, codec = report.scores[name], self.codec_scores[name]
        if math.isnan(score):
            self._console.warn(
                f"epoch {report.epoch}: the network gives values that are not finite; "
                "this validation counts as the worst"
            )
            return
        what = f"epoch {report.epoch}" if report.epoch else "before training"
        loss = f"loss {report.losses[GENERATOR]:.4f}, " if GENERATOR in report.losses else ""
        mark = ", the best so far" if is_best and report.epoch else ""
        self._console.note(
            f"{what}: {loss}validation {name} {score:.3f} ({score - codec:+.3f} against the "
            f"codec){mark}"
        )

    def _save_is_due(self) -> bool:
        every = (self._training.checkpoint_steps, self._training.keep_steps)
        if any(steps and self.steps % steps == 0 for steps in every):
            return True
        return time.monotonic() - self._saved_at >= self._training.checkpoint_minutes * 60

    def _save(self) -> None:
        self._read_pending()
        if self._world.is_writer:
            keep = self._training.keep_steps
            kept = keep and self.steps and self.steps % keep == 0
            self._files.save(self.state(), self.steps if kept else None)
        self._saved_at = time.monotonic()
        for observer in self._observers:
            observer.on_save()

    def state(self) -> dict[str, Any]:
        """Return everything that a later process needs to go on."""
        return {
            "identity": self.identity,
            "network": self._trainer.network.settings,
            "trainer": self._trainer.state(),
            "loader": self._loader.state_dict(),
            "epoch": self._epoch,
            "seconds": self.seconds,
            "epoch_began": self._epoch_began,
            "losses": asdict(self._losses),
            "history": [asdict(row) for row in self.history],
            "best": self.best.state(),
            "codec_scores": self.codec_scores,
            "bad_steps": self.bad_steps.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self._trainer.load_state(state["trainer"])
        self._loader.load_state_dict(state["loader"])
        self._epoch = int(state["epoch"])
        self._seconds_before, self._began = float(state["seconds"]), time.monotonic()
        self._epoch_began = float(state["epoch_began"])
        self._losses = MeanLosses(**state["losses"])
        self.history = [EpochReport(**row) for row in state["history"]]
        self.best.load_state(state["best"])
        self.codec_scores = dict(state["codec_scores"])
        self.bad_steps.load_state(state["bad_steps"])


def _fetch(results: Sequence[StepResult]) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Return the losses and norms of steps as numbers, waiting for the device once."""
    tensors: list[Tensor] = [
        value.detach().float().reshape(())
        for result in results
        for value in (*result.losses.values(), *result.norms.values())
    ]
    numbers = iter(torch.stack(tensors).tolist() if tensors else [])
    return [
        (
            {name: next(numbers) for name in result.losses},
            {name: next(numbers) for name in result.norms},
        )
        for result in results
    ]
