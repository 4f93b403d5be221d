"""Open shard files: a limited number at a time, opened by the process that reads them."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from apollo_data.errors import DataError
from apollo_data.shards import ShardReader


class OpenShard:
    """A shard, open for reading many rows.

    Rows that are stored unchanged, one chunk each, are read without HDF5's conversion and
    chunk cache. That takes half the time (docs/loading.md). Other rows, such as compressed
    ones, are read the usual way.
    """

    def __init__(self, path: Path) -> None:
        self.reader = ShardReader(path)
        self._sides = tuple(self.reader.rows(name) for name in ("codec", "target"))
        self._plain = tuple(_is_plain(side) for side in self._sides)
        self.dtype: np.dtype[Any] = self._sides[0].dtype.newbyteorder("=")

    def read_coded(self, pair: int, out: npt.NDArray[Any]) -> None:
        """Read a coded clip, as it is stored, into `out`: (2, samples), contiguous, of `dtype`."""
        self._read(0, pair, out)

    def read_clean(self, pair: int, out: npt.NDArray[Any]) -> None:
        """Read the target of a pair into `out`, as `read_coded` does."""
        self._read(1, int(self.reader.target_index[pair]), out)

    def _read(self, side: int, row: int, out: npt.NDArray[Any]) -> None:
        rows = self._sides[side]
        try:
            if self._plain[side]:
                rows.id.read_direct_chunk((row, 0, 0), out=out.reshape(-1).view(np.uint8))
            else:
                rows.read_direct(out, np.s_[row])
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{self.reader.path}: row {row} of {rows.name} cannot be read ({error}); "
                "try apollo-data verify"
            ) from None


def _is_plain(rows: h5py.Dataset) -> bool:
    """Return whether a row has the same bytes in the file and in memory."""
    one_row = rows.chunks == (1, *rows.shape[1:])
    return one_row and rows.dtype.isnative and not rows.id.get_create_plist().get_nfilters()


class OpenShards:
    """Keeps the most recently used shards open, at most `limit` at a time.

    It may be pickled or forked at any time. The new process then opens the files itself.
    """

    def __init__(self, paths: Sequence[Path], limit: int) -> None:
        self.paths = tuple(paths)
        self._limit = limit
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._owner = os.getpid()

    def __getitem__(self, number: int) -> OpenShard:
        if self._owner != os.getpid():
            self._open, self._owner = OrderedDict(), os.getpid()
        if number not in self._open:
            while len(self._open) >= self._limit:
                self._open.popitem(last=False)[1].reader.close()
            self._open[number] = OpenShard(self.paths[number])
        self._open.move_to_end(number)
        return self._open[number]

    def close(self) -> None:
        """Close all files. They are opened again when needed."""
        for shard in self._open.values():
            shard.reader.close()
        self._open.clear()

    def __len__(self) -> int:
        """Return how many files are open."""
        return len(self._open)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": OrderedDict()}
