"""Everything that watches a run: progress, logs, pictures, curves and the run's record."""

from apollo_data.console import Console
from apollo_model.training.observers import Observer
from apollo_model.training.watch.curves import Curves
from apollo_model.training.watch.examples import Examples
from apollo_model.training.watch.metrics_csv import MetricsLog
from apollo_model.training.watch.progress_bar import ProgressDetail
from apollo_model.training.watch.run_record import RunRecord
from apollo_model.training.watch.tensorboard_log import Board


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
