"""Scores as they come: one file per system that grows by a line a pair, and survives a kill.

`OUT/rows/NAME.jsonl` begins with the key of what the scores follow from. Another evaluation of
the same pairs takes over the rows of every system whose key is still the same.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from apollo_data.storage import key_of

_SAFE = re.compile(r"[^A-Za-z0-9._-]")


class SystemRows:
    """The scores of one system: (pairs, metrics) of NaN where there is none, yet or for ever.

    Parameters
    ----------
    folder
        Where the file is.
    name
        The system's.
    key
        What the scores follow from.
    pairs
        Identities of the pairs, in order.
    metrics
        Names of the scores.
    """

    def __init__(
        self, folder: Path, name: str, key: str, pairs: Sequence[str], metrics: Sequence[str]
    ) -> None:
        self.name, self.metrics = name, tuple(metrics)
        self.values: npt.NDArray[np.float64] = np.full((len(pairs), len(metrics)), np.nan)
        self.done: npt.NDArray[np.bool_] = np.zeros(len(pairs), bool)
        self.problems: dict[int, dict[str, str]] = {}
        self.remarks: dict[int, tuple[str, ...]] = {}
        self.path = folder / f"{_SAFE.sub('_', name)[:80]}-{key_of(name)[:8]}.jsonl"
        self._key = key
        self._places = {identity: place for place, identity in enumerate(pairs)}
        self._identities = pairs
        self._file: IO[str] | None = None
        self._kept_bytes = self._read()

    def _read(self) -> int:
        """Take over the rows that are there; return the length of the part that is whole."""
        kept = 0
        try:
            with self.path.open("rb") as source:
                for number, line in enumerate(source):
                    if not line.endswith(b"\n"):
                        break
                    row = json.loads(line)
                    if number == 0:
                        if row != self._header:
                            return 0
                    elif (place := self._places.get(row["pair"])) is not None:
                        # What failed is tried again: the program may work by now.
                        self._take(place, row)
                        self.done[place] = not row.get("failed")
                    kept += len(line)
        except (OSError, ValueError, KeyError, TypeError):
            return kept
        return kept

    @property
    def _header(self) -> dict[str, Any]:
        return {"system": self.name, "key": self._key, "metrics": list(self.metrics)}

    def _take(self, place: int, row: dict[str, Any]) -> None:
        scores = [math.nan if value is None else float(value) for value in row["scores"]]
        self.values[place] = scores
        self.problems.pop(place, None)
        self.remarks.pop(place, None)
        if row.get("problems"):
            self.problems[place] = dict(row["problems"])
        if row.get("remarks"):
            self.remarks[place] = tuple(row["remarks"])
        self.done[place] = True

    def add(
        self,
        place: int,
        scores: dict[str, float | None],
        problems: dict[str, str],
        remarks: Sequence[str] = (),
        failed: bool = False,
    ) -> None:
        """Keep the scores of a pair, in memory and on disk; what `failed` is tried again."""
        row: dict[str, Any] = {"pair": self._identities[place]}
        row["scores"] = [_plain(scores.get(name)) for name in self.metrics]
        if problems:
            row["problems"] = problems
        if remarks:
            row["remarks"] = list(remarks)
        if failed:
            row["failed"] = True
        self._take(place, row)
        file = self._open()
        file.write(json.dumps(row, allow_nan=False) + "\n")
        file.flush()

    def _open(self) -> IO[str]:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
            with self.path.open("r+b") as file:
                file.truncate(self._kept_bytes)
            self._file = self.path.open("a", encoding="utf-8")
            if not self._kept_bytes:
                self._file.write(json.dumps(self._header) + "\n")
        return self._file

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None


def _plain(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
