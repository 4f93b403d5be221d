"""A quantity's values and the few numbers that describe them."""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Summary:
    """How many values there are and where they lie; `p05` and `p95` are quantiles."""

    n: int
    min: float
    p05: float
    median: float
    p95: float
    max: float
    mean: float


@dataclass(frozen=True)
class Distribution:
    """Values of one quantity, eight bytes each; those that are not finite are left out.

    Examples
    --------
    >>> levels = Distribution()
    >>> levels.extend([1.0, 2.0, 6.0, float("nan")])
    >>> levels.summary()
    Summary(n=3, min=1.0, p05=1.1, median=2.0, p95=5.6, max=6.0, mean=3.0)
    """

    _values: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, value: float) -> None:
        """Take one value."""
        if math.isfinite(value):
            self._values.append(value)

    def extend(self, values: Iterable[float]) -> None:
        """Take several values."""
        for value in values:
            self.add(float(value))

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """All values, in the order in which they came."""
        return np.array(self._values)

    def summary(self) -> Summary | None:
        """Return the values in short; None if there are none."""
        values = self.values
        if not len(values):
            return None
        low, middle, high = (round(float(x), 6) for x in np.quantile(values, (0.05, 0.5, 0.95)))
        least, most, mean = (round(float(f(values)), 6) for f in (np.min, np.max, np.mean))
        return Summary(len(values), least, low, middle, high, most, mean)
