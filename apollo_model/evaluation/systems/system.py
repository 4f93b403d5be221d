"""What every system can do, and the unrestored codec, which does nothing."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from apollo_model.evaluation.pairs import Pair

Array = npt.NDArray[Any]

CODEC = "codec"
"""Name of the system that restores nothing."""


class SystemFailure(Exception):  # noqa: N818 - it fails for one pair, the evaluation goes on
    """A system has no result for one pair; the text says why."""


@dataclass(frozen=True)
class Restored:
    """A system's result: (2, samples) float32, as long as the coded clip.

    `remarks` say what was found wrong with the result and did not keep it from being scored;
    `lag` is by how many samples it is late, where that was looked at.
    """

    audio: Array
    remarks: tuple[str, ...] = ()
    lag: int = 0


class System(ABC):
    """One row of the tables.

    Systems travel to the worker processes, and so hold no networks and no open files.

    Attributes
    ----------
    name
        As the tables have it.
    key
        What the results follow from; scores of another key are not taken over.
    kind
        What it is, in a word.
    parameters
        Of a network; None for all others.
    """

    kind = "system"
    parameters: int | None = None

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @abstractmethod
    def key(self) -> str:
        """What the results follow from."""

    @abstractmethod
    def restore(self, coded: Array, sample_rate: int, pair: Pair) -> Restored:
        """Restore a coded clip, (2, samples).

        Raises
        ------
        SystemFailure
            There is no result for this pair.
        """

    def task(self, pair: Pair) -> "System":
        """Return what a worker needs to restore this pair: small, since it travels each time."""
        del pair
        return self

    def check(self, sample_rate: int) -> None:
        """Refuse what cannot be scored on clips of this sample rate, with a `DataError`."""
        del sample_rate

    def milliseconds_per_second(self, sample_rate: int) -> float | None:
        """Measure how long one second of one channel takes; None where that says nothing."""
        del sample_rate
        return None


class Codec(System):
    """The coded clip as it is: what every other row is compared with."""

    kind = "codec"

    def __init__(self) -> None:
        super().__init__(CODEC)

    @property
    def key(self) -> str:
        """It follows from the shards alone."""
        return "codec"

    def restore(self, coded: Array, sample_rate: int, pair: Pair) -> Restored:
        """Return the clip itself."""
        del sample_rate, pair
        return Restored(np.asarray(coded))
