"""What a run tells those who watch it: its start, each step, each validation, its end.

`train` calls its observers in the process that writes (rank 0), in the order of the steps.
Values are plain numbers; on a GPU they were fetched for several steps at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from apollo_data.settings import Settings
from apollo_model.dataset import ShardDataset
from apollo_model.network.base import Network

Scores = dict[str, float]
"""Means over the validation pairs by metric; NaN where one cannot be given."""


@dataclass(frozen=True)
class RunStart:
    """A run that begins or goes on.

    Attributes
    ----------
    folder
        The run folder; it exists, and this process holds its lock.
    settings
        As used: the network's size may have been read off the weights of `--init`.
    step
        Steps done already; 0 for a new run. What observers wrote about later steps in a
        session that was killed is to be dropped: these steps come again.
    steps_per_epoch
        Steps of a whole epoch.
    processes
        How many processes train.
    device
        As torch names it.
    shards
        Of each split read: the paths of its shards with their pairs and keys.
    valid_set
        The validation pairs.
    codec_scores
        The scores of the unrestored validation pairs.
    parameters
        Of the network.
    """

    folder: Path
    settings: Settings
    step: int
    steps_per_epoch: int
    processes: int
    device: str
    shards: Mapping[str, object]
    valid_set: ShardDataset
    codec_scores: Scores
    parameters: int


@dataclass(frozen=True)
class StepRecord:
    """One step.

    Attributes
    ----------
    step, epoch
        Counted from 1.
    seconds
        Training time so far, over all sessions, without validations.
    losses
        The weighted terms of the generator's loss, their sum `generator`, and `discriminator`.
    gradient_norms, learning_rates
        By network: `generator`, `discriminator`. Norms are those before clipping.
    skipped
        By network: steps skipped so far because the gradient was not finite.
    """

    step: int
    epoch: int
    seconds: float
    losses: Mapping[str, float]
    gradient_norms: Mapping[str, float]
    learning_rates: Mapping[str, float]
    skipped: Mapping[str, int]


@dataclass(frozen=True)
class ValidationRecord:
    """One validation.

    Attributes
    ----------
    step, epoch
        0 and 0 before training.
    scores, codec_scores
        Of the network (the average over the steps, with `ema_decay`) and of what went in.
    is_best
        By `choose_by`, of all so far.
    network
        What was scored, in evaluation mode; not to be changed.
    """

    step: int
    epoch: int
    scores: Scores
    codec_scores: Scores
    is_best: bool
    network: Network


class Observer:
    """Is told of a run; what is not overridden is not watched."""

    def on_start(self, start: RunStart) -> None:
        """Begin to watch: once per session, before its first step or validation."""

    def on_step(self, record: StepRecord) -> None:
        """Take note of a step."""

    def on_validation(self, record: ValidationRecord) -> None:
        """Take note of a validation."""

    def on_save(self) -> None:
        """Write what is buffered: the run's state has just been saved."""

    def on_end(self, reason: str) -> None:
        """End: the session is over, by an error or an interruption too."""
