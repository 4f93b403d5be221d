"""What stands beside the progress bar: losses, learning rate, and the time to the run's end."""

import time

from apollo_data.console import Console, time_text
from apollo_model.training.observers import Observer, RunStart, StepRecord
from apollo_model.training.step import DISCRIMINATOR, GENERATOR

_REFRESH_SECONDS = 0.2


class ProgressDetail(Observer):
    """Sets `Console.detail` a few times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown_at = float("-inf")
        self._first: tuple[int, float] | None = None
        self._last_step = 0
        self._limit_seconds: float | None = None

    def on_start(self, start: RunStart) -> None:
        """Learn when the run will end."""
        training = start.settings.training
        self._last_step = training.max_epochs * start.steps_per_epoch
        self._limit_seconds = None if training.max_minutes is None else training.max_minutes * 60

    def on_step(self, record: StepRecord) -> None:
        """Show the step's values, unless the last ones are just being read."""
        self._first = self._first or (record.step, record.seconds)
        now = time.monotonic()
        if now - self._shown_at >= _REFRESH_SECONDS:
            self._shown_at = now
            self._console.detail = self._text(record)

    def on_end(self, reason: str) -> None:
        """Leave nothing for later bars."""
        self._console.detail = ""

    def _text(self, record: StepRecord) -> str:
        parts = []
        if GENERATOR in record.losses:
            parts.append(f"loss {record.losses[GENERATOR]:.4g}")
        if DISCRIMINATOR in record.losses:
            parts.append(f"discriminator {record.losses[DISCRIMINATOR]:.4g}")
        parts.append(f"rate {record.learning_rates.get(GENERATOR, 0.0):.2g}")
        if skipped := sum(record.skipped.values()):
            parts.append(f"{skipped} steps skipped")
        if (left := self._seconds_left(record)) is not None:
            parts.append(f"run ends within {time_text(left)}")
        return ", ".join(parts)

    def _seconds_left(self, record: StepRecord) -> float | None:
        """Return an upper bound: early stopping may end the run before."""
        bounds = []
        if self._limit_seconds is not None:
            bounds.append(self._limit_seconds - record.seconds)
        first_step, first_seconds = self._first or (record.step, record.seconds)
        if record.step > first_step:
            step_seconds = (record.seconds - first_seconds) / (record.step - first_step)
            bounds.append((self._last_step - record.step) * step_seconds)
        return max(0.0, min(bounds)) if bounds else None
