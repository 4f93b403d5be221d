"""Steps whose gradient is not finite: skipped, counted, explained; too many in a row end a run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.storage import whole_file
from apollo_model.dataset import PairDataset
from apollo_model.training.distributed import World
from apollo_model.training.guards import damaged_pairs

_SHOWN = 8


class BadSteps:
    """A counter for each network.

    Attributes
    ----------
    skipped
        By network: how many steps were skipped in all.
    """

    def __init__(
        self, dataset: PairDataset, world: World, console: Console, limit: int, folder: Path
    ) -> None:
        self.skipped: dict[str, int] = {}
        self._in_row: dict[str, int] = {}
        self._dataset, self._world, self._console = dataset, world, console
        self._limit, self._folder = limit, folder

    def check(
        self,
        step: int,
        losses: Mapping[str, float],
        norms: Mapping[str, float],
        pairs: Callable[[], list[int]],
    ) -> None:
        """Take note of a step; all processes do so together, with the same norms.

        Parameters
        ----------
        step
            Its number.
        losses
            This process's own.
        norms
            By network; one that is not finite means that the step was skipped.
        pairs
            Returns what this process read; asked only for a skipped step.

        Raises
        ------
        DataError
            The limit is reached. The batch is in bad-batch.pt then.
        """
        bad = [name for name, norm in norms.items() if not _is_finite(norm)]
        for name in norms:
            self.skipped[name] = self.skipped.get(name, 0) + (name in bad)
            self._in_row[name] = self._in_row.get(name, 0) + 1 if name in bad else 0
        if not bad:
            return
        suspects, damaged = self._find_pairs(losses, pairs())
        where = self._explain(suspects, damaged)
        for name in bad:
            self._console.warn(
                f"step {step}: the gradient of the {name} is not finite, so its step is skipped "
                f"({self._in_row[name]} in a row, {self.skipped[name]} in all); {where}"
            )
        if worst := [name for name in bad if self._in_row[name] >= self._limit]:
            place = self._save(step, suspects)
            advice = "build them again" if damaged else "lower the learning rates"
            raise DataError(
                f"training: step {step}: the gradient of the {worst[0]} was not finite in "
                f"{self._limit} steps in a row; {where}; the batch is in {place}; {advice}"
            )

    def state(self) -> dict[str, Any]:
        """Return the counters, for the run's state."""
        return {"skipped": self.skipped, "in_row": self._in_row}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up saved counters."""
        self.skipped, self._in_row = dict(state["skipped"]), dict(state["in_row"])

    def _find_pairs(
        self, losses: Mapping[str, float], pairs: list[int]
    ) -> tuple[list[int], list[str]]:
        """Return the pairs of the processes whose losses are not finite, and damaged ones."""
        finite = all(map(_is_finite, losses.values()))
        everyone = self._world.gather((finite, pairs, damaged_pairs(self._dataset, pairs)))
        guilty = [item for item in everyone if not item[0]] or everyone
        return (
            [pair for item in guilty for pair in item[1]],
            [name for item in everyone for name in item[2]],
        )

    def _explain(self, suspects: Sequence[int], damaged: Sequence[str]) -> str:
        if damaged:
            return f"the data holds values that are not finite: {_some(damaged)}"
        names = [self._dataset.name_of(pair) for pair in suspects]
        return f"its pairs are finite: {_some(names)}"

    def _save(self, step: int, pairs: Sequence[int]) -> Path:
        path = self._folder / "bad-batch.pt"
        if self._world.is_writer:
            batch = self._dataset.__getitems__(list(pairs))
            names = [self._dataset.name_of(pair) for pair in pairs]
            coded, clean = batch.whole
            with whole_file(path) as temporary:
                content = {"step": step, "pairs": names, "coded": coded, "clean": clean}
                torch.save(content, temporary)
        return path


def _is_finite(value: float) -> bool:
    return value - value == 0


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
