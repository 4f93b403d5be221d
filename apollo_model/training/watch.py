"""Everything that watches a run: progress, logs, pictures, curves and the run's record."""

from apollo_data.console import Console
from apollo_model.training.hooks import Observer
from apollo_model.training.watch_board import Board
from apollo_model.training.watch_curves import Curves
from apollo_model.training.watch_examples import Examples
from apollo_model.training.watch_metrics import MetricsLog
from apollo_model.training.watch_progress import ProgressDetail
from apollo_model.training.watch_record import RunRecord


def watchers(console: Console) -> list[Observer]:
    """Return the observers that `apollo-model train` passes to `train`.

    Together they write run.json, settings.toml, metrics.csv, curves.png and the folders
    tensorboard and examples, and show losses beside the progress bar.
    """
    return [
        RunRecord(),
        MetricsLog(console),
        Board(console),
        ProgressDetail(console),
        Examples(console),
        Curves(console),
    ]
