"""Training runs: one call both starts a run and goes on with it.

Everything random follows from (seed, epoch, item), and the whole state is saved by the clock
and by the step, so that a run that was stopped or killed goes on as if it had not been.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.settings import Settings
from apollo_data.shards import find_shards
from apollo_data.storage import folder_lock
from apollo_model.checkpoint.formats import load_network
from apollo_model.checkpoint.kinds import kind_of
from apollo_model.dataset import LiveMixDataset, PairDataset, PairLoader, ShardDataset
from apollo_model.network.base import Network
from apollo_model.network.memory import keep_freed_memory
from apollo_model.training.distributed import World, join_world
from apollo_model.training.guards import check_crop, check_shards, explained
from apollo_model.training.loop import Run
from apollo_model.training.observers import Observer, RunStart, Scores
from apollo_model.training.run_identity import refuse_other_run, run_identity
from apollo_model.training.state_files import StateFiles
from apollo_model.training.step import Trainer
from apollo_model.training.stop_signals import StopWish, stop_wish
from apollo_model.training.validation import Stopped, Validation


@dataclass(frozen=True)
class TrainingReport:
    """How a run, or this session of it, ended.

    Attributes
    ----------
    epochs, steps
        Done in all sessions.
    best_epoch
        0 is the network before training.
    best_scores, untrained_scores, codec_scores
        Of the validation pairs.
    skipped
        By network: steps skipped because the gradient was not finite.
    checkpoint
        The best network.
    stopped_by
        The signal that ended the session, whose state is saved; None at the run's end.
    """

    epochs: int
    steps: int
    best_epoch: int
    best_scores: Scores
    untrained_scores: Scores
    codec_scores: Scores
    skipped: dict[str, int]
    reason: str
    checkpoint: Path
    stopped_by: str | None = None


class _Silent(Console):
    """What the processes that do not write have for a console."""

    def __init__(self) -> None:
        super().__init__(quiet=True)

    def warn(self, text: str) -> None:
        """Leave it to the process that writes."""


def train(
    settings: Settings,
    shards: Path,
    out: Path,
    console: Console,
    *,
    fresh: bool = False,
    init: str | None = None,
    device: str = "auto",
    observers: Sequence[Observer] = (),
) -> TrainingReport:
    """Train a network on the train shards, choosing the best by the valid shards.

    A run that `out` holds goes on. Under torchrun all processes call this together, and the
    first of them writes.

    Parameters
    ----------
    settings
        The pipeline's.
    shards
        Folder with ``train`` and ``valid``. For live mixing it lies in the working folder
        whose songs are mixed, and needs no ``train``.
    out
        Run folder: best.safetensors, last.pt, previous.pt, history.csv.
    fresh
        Begin anew; what `out` holds is moved into a folder in it.
    init
        File or hub name of a network whose size and weights a new run begins with.
    device
        As for `choose_device`.
    observers
        Told of the run in the process that writes.

    Raises
    ------
    DataError
        There are no shards or they do not fit the settings; the run in `out` was made with
        other ones; the gradients stay infinite; the disk is full.
    ToolError
        There is no such device, or memory runs out.
    """
    keep_freed_memory()
    with join_world(device) as world, explained(settings), _lock_if(world, out):
        console = console if world.is_writer else _Silent()
        state = _find_state(out, world, console, fresh)
        settings, network = _starting_point(settings, init, state)
        with stop_wish() as wish:
            session = _Session(settings, shards, out, world, console, wish, observers)
            return session.train(state, init, network)


@contextlib.contextmanager
def _lock_if(world: World, out: Path) -> Iterator[None]:
    with folder_lock(out) if world.is_writer else contextlib.nullcontext():
        yield


def _find_state(out: Path, world: World, console: Console, fresh: bool) -> dict[str, Any] | None:
    """Return the state to go on from; rank 0 reads it, so that one file system is enough."""
    state = None
    if world.is_writer:
        files = StateFiles(out, console)
        if fresh and (old := files.set_aside()):
            console.note(f"what {out} held is in {old} now")
        state = files.load()
    return world.share(state)


def _starting_point(
    settings: Settings, init: str | None, state: dict[str, Any] | None
) -> tuple[Settings, Network | None]:
    """Return the settings with the network's true size, and the network to begin with."""
    if state is not None and state["identity"]["init"]:
        size, network = state["network"], None
        kind = state["identity"]["settings"]["network"].get("kind", "apollo")
    elif state is None and init is not None:
        network = load_network(init)
        size, kind = network.settings, kind_of(network)
    else:
        return settings, None
    if size["sample_rate"] != settings.sample_rate:
        raise DataError(
            f"{init}: works at {size['sample_rate']} Hz, the pipeline at {settings.sample_rate} Hz"
        )
    sizes = {name: value for name, value in size.items() if name != "sample_rate"}
    return settings.model_copy(update={"network": type(settings.network).of(kind, sizes)}), network


class _Session:
    """One session of a run: what it needs, put together and checked before the first step."""

    def __init__(
        self,
        settings: Settings,
        shards: Path,
        out: Path,
        world: World,
        console: Console,
        wish: StopWish,
        observers: Sequence[Observer],
    ) -> None:
        self._settings, self._out = settings, out
        self._world, self._console, self._wish = world, console, wish
        self._observers = observers if world.is_writer else ()
        self._train_set = training_set(settings, shards)
        self._valid_set = ShardDataset(find_shards(shards, "valid"))
        if not len(self._train_set) or not len(self._valid_set):
            raise DataError(f"{shards}: training needs pairs in both train and valid")
        check_crop(settings, self._train_set.samples)
        for dataset in (self._train_set, self._valid_set):
            if isinstance(dataset, ShardDataset):
                check_shards(settings, dataset)

    def train(
        self, state: dict[str, Any] | None, init: str | None, network: Network | None
    ) -> TrainingReport:
        """Start or go on, and tell how it ended."""
        settings, training, world = self._settings, self._settings.training, self._world
        identity = self._identity(init if state is None else state["identity"]["init"])
        if state is not None:
            now = {**identity, "init": init}
            refuse_other_run(state["identity"], now, StateFiles(self._out, self._console).last)
        trainer = Trainer(settings, world, network)
        loader = PairLoader(
            self._train_set,
            training.batch_size,
            training.seed,
            world.rank,
            world.ranks,
            max_batches=training.batches_per_epoch
            and (training.batches_per_epoch * training.accumulate_steps),
            workers=training.loader_workers,
            pin_memory=trainer.device.type == "cuda",
            accumulate=training.accumulate_steps,
        )
        metrics = (training.choose_by, *training.validation_metrics)
        validation = Validation(self._valid_set, metrics, settings.sample_rate, world)
        if validation.left_out:
            self._console.warn(
                f"{validation.left_out} of {len(self._valid_set)} validation pairs are silent or "
                "not finite and are not scored"
            )
        run = Run(
            self._out,
            settings,
            world,
            trainer,
            loader,
            validation,
            identity,
            self._console,
            self._observers,
            self._wish,
        )
        if state is not None:
            run.load_state(state)
        return self._watch(run, trainer, loader)

    def _identity(self, init: str | None) -> dict[str, Any]:
        sets = {"train": self._train_set, "valid": self._valid_set}
        paths = {
            split: list(dataset.paths)
            for split, dataset in sets.items()
            if isinstance(dataset, ShardDataset)
        }
        per_step = self._world.ranks * self._settings.training.accumulate_steps
        return run_identity(self._settings, paths, per_step, init)

    def _watch(self, run: Run, trainer: Trainer, loader: PairLoader) -> TrainingReport:
        reason = "an error"
        watching = []
        try:
            start = self._describe(run, trainer, loader)
            for observer in self._observers:
                watching.append(observer)
                observer.on_start(start)
            reason = run.train()
            return self._report(run, reason)
        except Stopped:
            stopped_by = self._wish.signal.name if self._wish.signal else "another process"
            reason = f"stopped by {stopped_by}"
            return self._report(run, reason, stopped_by)
        finally:
            for observer in watching:
                observer.on_end(reason)

    def _describe(self, run: Run, trainer: Trainer, loader: PairLoader) -> RunStart:
        """Say what begins or goes on, on the console too."""
        start = RunStart(
            folder=self._out,
            settings=self._settings,
            step=run.steps,
            steps_per_epoch=len(loader) // self._settings.training.accumulate_steps,
            processes=self._world.ranks,
            device=str(trainer.device),
            shards=run.identity["shards"],
            valid_set=self._valid_set,
            codec_scores=run.measure_codec(),
            parameters=sum(value.numel() for value in trainer.network.parameters()),
        )
        begins = f"goes on after step {start.step}" if start.step else "begins"
        self._console.note(
            f"training {begins}: {start.parameters:,} parameters, {len(self._train_set)} pairs, "
            f"{start.processes} x {start.device} in {str(trainer.dtype)[6:]}"
        )
        return start

    def _report(self, run: Run, reason: str, stopped_by: str | None = None) -> TrainingReport:
        best = run.best.best
        if best is None and stopped_by is None:
            raise DataError(
                f"{self._out}: no validation gave a score, since the network's output is not "
                "finite; lower the learning rates, and begin with --fresh"
            )
        by_epoch = {row.epoch: row.scores for row in run.history}
        return TrainingReport(
            epochs=run.history[-1].epoch if run.history else 0,
            steps=run.steps,
            best_epoch=best.epoch if best else 0,
            best_scores=by_epoch.get(best.epoch, {}) if best else {},
            untrained_scores=by_epoch.get(0, {}),
            codec_scores=run.codec_scores,
            skipped=run.bad_steps.skipped,
            reason=reason,
            checkpoint=run.best.path,
            stopped_by=stopped_by,
        )


def training_set(settings: Settings, shards: Path) -> PairDataset:
    """Return the training pairs, cropped as the settings say: mixed live, or from shards."""
    training = settings.training
    crop = round(training.crop_seconds * settings.sample_rate) if training.crop_seconds else None
    if training.live:
        work = shards.parent
        return LiveMixDataset(work, settings, crop_samples=crop, seed=training.seed, as_stored=True)
    return ShardDataset(find_shards(shards, "train"), crop, training.seed, as_stored=True)
