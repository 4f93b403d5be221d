"""history.csv: a row for each validation, with the mean losses of the epoch before it."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from apollo_data.storage import whole_file
from apollo_model.training.observers import Scores


@dataclass(frozen=True)
class EpochReport:
    """One row; epoch 0 is the network before training, and has no losses.

    Attributes
    ----------
    seconds
        Of the epoch, its validation included.
    learning_rate
        Of the generator.
    scores
        Of the validation.
    losses
        Means over the epoch's steps, without skipped ones.
    """

    epoch: int
    step: int
    seconds: float
    learning_rate: float
    scores: Scores
    losses: dict[str, float]


@dataclass
class MeanLosses:
    """Running means of an epoch's losses; plain values, so that a state can hold them."""

    count: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, losses: dict[str, float]) -> None:
        """Add a step's."""
        self.count += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    @property
    def means(self) -> dict[str, float]:
        """The means so far."""
        return {name: value / self.count for name, value in self.sums.items()}


def write_history(path: Path, history: list[EpochReport]) -> None:
    """Write all rows anew, whole or not at all."""
    losses = list(dict.fromkeys(name for row in history for name in row.losses))
    scores = list(dict.fromkeys(name for row in history for name in row.scores))
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        names = [f"valid_{name}" for name in scores]
        table.writerow(["epoch", "step", "seconds", "learning_rate", *names, *losses])
        for row in history:
            fixed = [row.epoch, row.step, f"{row.seconds:.1f}", row.learning_rate]
            measured = [row.scores.get(name, "") for name in scores]
            table.writerow([*fixed, *measured, *(row.losses.get(name, "") for name in losses)])
