"""TensorBoard: losses, norms and learning rates over the steps, and every validation's scores."""

import math

from torch.utils.tensorboard import SummaryWriter

from apollo_model.training.hooks import Observer, RunStart, StepRecord, ValidationRecord

FOLDER = "tensorboard"


class Board(Observer):
    """Writes TensorBoard's event files.

    Steps are written once in `training.log_steps`, since TensorBoard keeps every point in
    memory; metrics.csv has them all.
    """

    def __init__(self) -> None:
        self._writer: SummaryWriter | None = None
        self._every = 1

    def on_start(self, start: RunStart) -> None:
        """Open a file; TensorBoard then drops what an earlier session wrote of later steps."""
        self._every = start.settings.training.log_steps
        later = start.step + 1 if start.step else None
        self._writer = SummaryWriter(str(start.folder / FOLDER), purge_step=later)

    def on_step(self, record: StepRecord) -> None:
        """Write a step's values."""
        if self._writer is None or record.step % self._every:
            return
        groups = {
            "loss": record.losses,
            "gradient_norm": record.gradient_norms,
            "learning_rate": record.learning_rates,
            "skipped_steps": record.skipped,
        }
        for group, values in groups.items():
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, record.step)

    def on_validation(self, record: ValidationRecord) -> None:
        """Write the scores, and the codec's in the same diagrams' group."""
        if self._writer is None:
            return
        for system, scores in (("network", record.scores), ("codec", record.codec_scores)):
            for name, value in scores.items():
                if math.isfinite(value):
                    self._writer.add_scalar(f"valid_{name}/{system}", value, record.step)

    def on_save(self) -> None:
        """Write to disk what is buffered: these steps do not come again."""
        if self._writer is not None:
            self._writer.flush()

    def on_end(self, reason: str) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
