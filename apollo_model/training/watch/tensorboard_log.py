"""TensorBoard: losses, norms and learning rates over the steps, and every validation's scores."""

import contextlib
import math
from collections.abc import Iterator

from torch.utils.tensorboard import SummaryWriter

from apollo_data.console import Console
from apollo_model.training.observers import Observer, RunStart, StepRecord, ValidationRecord
from apollo_model.training.watch.may_fail import without_ending_the_run

FOLDER = "tensorboard"


class Board(Observer):
    """Writes TensorBoard's event files.

    Steps are written once in `training.log_steps`, since TensorBoard keeps every point in
    memory; metrics.csv has them all.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._writer: SummaryWriter | None = None
        self._every = 1

    def on_start(self, start: RunStart) -> None:
        """Open a file; TensorBoard then drops what an earlier session wrote of later steps."""
        self._every = start.settings.training.log_steps
        later = start.step + 1 if start.step else None
        self._writer = SummaryWriter(str(start.folder / FOLDER), purge_step=later)

    def on_step(self, record: StepRecord) -> None:
        """Write a step's values."""
        if record.step % self._every:
            return
        groups = {
            "loss": record.losses,
            "gradient_norm": record.gradient_norms,
            "learning_rate": record.learning_rates,
            "skipped_steps": record.skipped,
        }
        with self._open_writer() as writer:
            for group, values in groups.items():
                for name, value in values.items():
                    writer.add_scalar(f"{group}/{name}", value, record.step)

    def on_validation(self, record: ValidationRecord) -> None:
        """Write the scores, and the codec's in the same diagrams' group."""
        with self._open_writer() as writer:
            for system, scores in (("network", record.scores), ("codec", record.codec_scores)):
                for name, value in scores.items():
                    if math.isfinite(value):
                        writer.add_scalar(f"valid_{name}/{system}", value, record.step)

    def on_save(self) -> None:
        """Write to disk what is buffered: these steps do not come again."""
        with self._open_writer() as writer:
            writer.flush()

    def on_end(self, reason: str) -> None:
        """Close the file."""
        with self._open_writer() as writer:
            writer.close()
        self._writer = None

    @contextlib.contextmanager
    def _open_writer(self) -> Iterator[SummaryWriter]:
        """Yield the writer; after its first error, one that writes nothing."""
        whole = False
        with without_ending_the_run(self._console, "TensorBoard's files"):
            yield self._writer or _NoWriter()
            whole = True
        if not whole:
            self._writer = None


class _NoWriter(SummaryWriter):
    """Takes what is written, and writes nothing."""

    def __init__(self) -> None: ...

    def add_scalar(self, *_: object, **__: object) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
