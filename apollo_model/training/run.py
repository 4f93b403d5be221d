"""Training runs on shards: epochs, validation, checkpoints, early stopping, resuming.

Everything random follows from (seed, epoch, item), and the whole state is saved after
every epoch, so that a run that was stopped goes on as if it had not been.
"""

import csv
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.settings import Settings, TrainingSettings, settings_toml
from apollo_data.shards import find_shards
from apollo_data.storage import folder_lock, key_of, whole_file
from apollo_model.checkpoint.formats import save_network
from apollo_model.dataset import (
    LiveMixDataset,
    PairDataset,
    PairLoader,
    ShardDataset,
    to_float,
)
from apollo_model.network.memory import keep_freed_memory
from apollo_model.training.step import Losses, Trainer

_FREE = {"max_epochs", "max_minutes", "loader_workers"}
"""Training settings that may be others when a run is resumed."""


@dataclass(frozen=True)
class EpochReport:
    """One row of history.csv; losses are means over the epoch's steps."""

    epoch: int
    seconds: float
    learning_rate: float
    valid_loss: float
    losses: Losses


@dataclass(frozen=True)
class TrainingReport:
    """How a run ended."""

    epochs: int
    best_epoch: int
    best_valid_loss: float
    untrained_valid_loss: float
    reason: str
    checkpoint: Path


class _Run:
    """One run folder: what has been reached, and the files that say so."""

    def __init__(self, folder: Path, settings: Settings, trainer: Trainer) -> None:
        self.folder = folder
        self.trainer = trainer
        self._settings = settings
        self.history: list[EpochReport] = []
        self.untrained_loss = float("nan")
        self._key = key_of(
            settings.network.model_dump(mode="json"),
            settings.training.model_dump(mode="json", exclude=_FREE),
        )

    @property
    def checkpoint(self) -> Path:
        """The network with the best validation loss."""
        return self.folder / "best.safetensors"

    @property
    def best(self) -> EpochReport:
        """The epoch with the best validation loss."""
        return min(self.history, key=lambda report: report.valid_loss)

    @property
    def seconds(self) -> float:
        """Time spent in epochs, over all sessions."""
        return sum(report.seconds for report in self.history)

    def resume(self) -> None:
        """Take up the state that the last session left.

        Raises
        ------
        DataError
            There is none, it is damaged, or it was made with other settings.
        """
        path = self.folder / "last.pt"
        if not path.is_file():
            raise DataError(f"{path}: nothing to resume; start without --resume")
        try:
            saved = torch.load(path, weights_only=True)
            key, rows = saved["key"], saved["history"]
        except Exception as error:
            raise DataError(f"{path}: is no training state ({type(error).__name__})") from None
        if key != self._key:
            raise DataError(f"{path}: was made with other network or training settings")
        self.trainer.load_state(saved["trainer"])
        self.untrained_loss = saved["untrained_loss"]
        self.history = [EpochReport(**row) for row in rows]

    def save(self, report: EpochReport) -> None:
        """Record an epoch: the state to go on from, the history and, if it is the best, the net."""
        self.history.append(report)
        if self.best is report:
            metadata = {
                "valid_si_snr_db": f"{-report.valid_loss:.4f}",
                "epoch": str(report.epoch),
                "pipeline": self._settings.name,
                "settings": settings_toml(self._settings),
            }
            save_network(self.trainer.network, self.checkpoint, metadata)
        state = {
            "key": self._key,
            "untrained_loss": self.untrained_loss,
            "history": [dataclasses.asdict(row) for row in self.history],
            "trainer": self.trainer.state(),
        }
        with whole_file(self.folder / "last.pt") as temporary:
            torch.save(state, temporary)
        self._write_history()

    def _write_history(self) -> None:
        names = list(self.history[-1].losses)
        with (
            whole_file(self.folder / "history.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as out,
        ):
            table = csv.writer(out)
            table.writerow(["epoch", "seconds", "learning_rate", "valid_si_snr_db", *names])
            for row in self.history:
                values = [row.losses[name] for name in names]
                fixed = [row.epoch, f"{row.seconds:.1f}", row.learning_rate, -row.valid_loss]
                table.writerow([*fixed, *values])


def train(
    settings: Settings,
    shards: Path,
    out: Path,
    console: Console,
    resume: bool = False,
    device: str = "cpu",
) -> TrainingReport:
    """Train a network on the train shards, choosing the best by the valid shards.

    Parameters
    ----------
    settings
        The pipeline's.
    shards
        Folder with ``train`` and ``valid``. For live mixing it lies in the working folder
        whose songs are mixed, and needs no ``train``.
    out
        Run folder: best.safetensors, last.pt, history.csv and TensorBoard events.
    resume
        Go on from ``last.pt`` in `out`.

    Raises
    ------
    DataError
        There are no shards, nothing to resume, a finished run would be overwritten, or
        the gradients stay infinite.
    """
    keep_freed_memory()
    training = settings.training
    train_set = _training_set(settings, shards)
    valid_set = ShardDataset(find_shards(shards, "valid"))
    if not len(train_set) or not len(valid_set):
        raise DataError(f"{shards}: training needs pairs in both train and valid")
    with folder_lock(out):
        if not resume and (out / "last.pt").exists():
            raise DataError(f"{out}: holds a run already; add --resume, or name another --out")
        trainer = Trainer(settings, device)
        run = _Run(out, settings, trainer)
        if resume:
            run.resume()
        else:
            run.untrained_loss = trainer.validate(valid_set)
        console.note(
            f"training {sum(item.numel() for item in trainer.network.parameters()):,} parameters "
            f"on {len(train_set)} pairs; untrained, the validation SI-SNR is "
            f"{-run.untrained_loss:.3f} dB"
        )
        with SummaryWriter(str(out / "tensorboard")) as board:
            loader = PairLoader(
                train_set,
                training.batch_size,
                training.seed,
                max_batches=training.batches_per_epoch,
                workers=training.loader_workers,
                pin_memory=trainer.device.type == "cuda",
            )
            reason = _run_epochs(run, loader, valid_set, console, board)
    best = run.best
    return TrainingReport(
        epochs=len(run.history),
        best_epoch=best.epoch,
        best_valid_loss=best.valid_loss,
        untrained_valid_loss=run.untrained_loss,
        reason=reason,
        checkpoint=run.checkpoint,
    )


def _training_set(settings: Settings, shards: Path) -> PairDataset:
    training = settings.training
    crop = round(training.crop_seconds * settings.sample_rate) if training.crop_seconds else None
    if training.live:
        work = shards.parent
        return LiveMixDataset(work, settings, crop_samples=crop, seed=training.seed, as_stored=True)
    return ShardDataset(find_shards(shards, "train"), crop, training.seed, as_stored=True)


def _run_epochs(
    run: _Run,
    loader: PairLoader,
    valid_set: ShardDataset,
    console: Console,
    board: SummaryWriter,
) -> str:
    """Train until there is a reason to stop, and return it."""
    settings = run.trainer.settings
    while (reason := _reason_to_stop(run, settings)) is None:
        epoch = len(run.history) + 1
        started = time.monotonic()
        rate = float(run.trainer.schedules[0].get_last_lr()[0])
        losses = _train_epoch(run.trainer, loader, epoch, console)
        valid_loss = run.trainer.validate(valid_set)
        run.trainer.end_epoch()
        seconds = time.monotonic() - started
        run.save(EpochReport(epoch, seconds, rate, valid_loss, losses))
        for name, value in losses.items():
            board.add_scalar(f"train/{name}", value, epoch)
        board.add_scalar("valid/si_snr_db", -valid_loss, epoch)
        mark = ", the best so far" if run.best.epoch == epoch else ""
        console.note(
            f"epoch {epoch}: loss {losses['generator']:.4f}, validation SI-SNR "
            f"{-valid_loss:.3f} dB ({run.untrained_loss - valid_loss:+.3f}){mark}"
        )
    return reason


def _reason_to_stop(run: _Run, settings: TrainingSettings) -> str | None:
    epochs = len(run.history)
    if epochs >= settings.max_epochs:
        return f"all {settings.max_epochs} epochs done"
    if settings.max_minutes is not None and run.seconds >= settings.max_minutes * 60:
        return f"{settings.max_minutes:g} minutes are over"
    if epochs and epochs - run.best.epoch >= settings.patience_epochs:
        return f"no better validation loss for {settings.patience_epochs} epochs"
    return None


def _train_epoch(trainer: Trainer, loader: PairLoader, epoch: int, console: Console) -> Losses:
    """Train on every batch of an epoch and return the mean losses."""
    loader.set_epoch(epoch)
    steps: list[Losses] = []
    with console.progress(f"epoch {epoch}", len(loader), "steps") as advance:
        for batch in loader:
            steps.append(trainer.step(*to_float(batch, trainer.device)))
            advance(1)
    return {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}
