"""The shard reader."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from apollo_data.audio.files import Samples
from apollo_data.errors import ApolloError, DataError
from apollo_data.records import SPLITS, Coding, MixRecipe
from apollo_data.shards.compression import require_filters
from apollo_data.shards.layout import FORMAT, FORMAT_VERSION, to_float
from apollo_data.workspace.manifest import from_json

_LOCK_ERRORS = {errno.ENOLCK, errno.ENOSYS, errno.EAGAIN, errno.EACCES, errno.EOPNOTSUPP}


class DamagedShardError(DataError):
    """The content of a shard is not what a finished shard holds."""


class ShardReader:
    """One shard, open for reading.

    Attributes
    ----------
    split, sample_rate, samples, key
        As in the shard; `samples` is the length of a clip.
    target_index, requested_kbps, actual_kbps, codec_names, scale
        One entry a pair.
    stem_index, stem_classes, stem_scale
        One entry a stem: its target, its class, and the factor for its samples; empty in shards
        without stems.
    targets, pairs, stems
        How many there are.

    Raises
    ------
    DamagedShardError
        The file is not a whole shard.
    DataError
        The file is missing, cannot be read, or is of a version that this software does not read.
    ToolError
        It is compressed with a filter whose plugin is missing.

    Examples
    --------
    >>> with ShardReader(path) as shard:  # doctest: +SKIP
    ...     coded, clean = shard.read_pair(0)  # (2, samples) float32 each
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            self._read_head()
        except (KeyError, ValueError, OSError, RuntimeError) as error:
            self._file.close()
            raise DamagedShardError(f"{self.path}: is not a whole shard ({error})") from None
        except ApolloError:
            self._file.close()
            raise

    def _read_head(self) -> None:
        attrs = dict(self._file.attrs)
        if attrs.get("format") != FORMAT:
            raise DataError(f"{self.path}: is HDF5, but no {FORMAT}")
        if attrs["format_version"] != FORMAT_VERSION:
            raise DataError(
                f"{self.path}: shard version {attrs['format_version']}, "
                f"this software reads {FORMAT_VERSION}"
            )
        if not attrs.get("complete"):
            raise DamagedShardError(f"{self.path}: was never finished; build it again")
        self.split = str(attrs["split"])
        self.sample_rate = int(attrs["sample_rate"])
        self.clip_seconds = float(attrs["clip_seconds"])
        self.settings = str(attrs["settings"])
        self.software = str(attrs["software"])
        self.key = str(attrs["key"])
        self._target, self._codec = self._file["target"], self._file["codec"]
        self.targets, _channels, self.samples = self._target.shape
        self.pairs = self._codec.shape[0]
        self.target_index = self._file["pair/target_index"][:]
        self.requested_kbps = self._file["pair/requested_kbps"][:]
        self.actual_kbps = self._file["pair/actual_kbps"][:]
        self.codec_names = self._file["pair/codec"].asstr()[:]
        self.scale = self._file["pair/scale"][:]
        self._read_stem_index()
        for name in {"target", "codec", "stem"} & self._file.keys():
            require_filters(self._file[name], str(self.path))

    def _read_stem_index(self) -> None:
        self.has_stems = "stem" in self._file
        self.stems = self._file["stem"].shape[0] if self.has_stems else 0
        index = self._file["stem_index"] if self.has_stems else {}
        self.stem_index = index["target"][:] if index else np.zeros(0, np.int32)
        self.stem_classes = index["class"].asstr()[:] if index else np.zeros(0, object)
        self.stem_scale = index["scale"][:] if index else np.zeros(0, np.float32)

    def read_pair(self, pair: int) -> tuple[Samples, Samples]:
        """Return (coded, clean), each (2, samples) float32 with full scale 1.0."""
        return to_float(self._codec[pair]), to_float(self._target[self.target_index[pair]])

    def read_target(self, target: int) -> npt.NDArray[Any]:
        """Return one target as it is stored, (2, samples)."""
        return self._target[target]

    def read_coded(self, pair: int) -> npt.NDArray[Any]:
        """Return one coded clip as it is stored, (2, samples)."""
        return self._codec[pair]

    def rows(self, side: str) -> h5py.Dataset:
        """Return the HDF5 dataset ``codec`` or ``target``, for reading many rows."""
        return self._file[side]

    def read_stem(self, stem: int) -> Samples:
        """Return one stem, (2, samples) float32, at its level in the target's full scale."""
        return to_float(self._file["stem"][stem]) * self.stem_scale[stem]

    def coding(self, pair: int) -> Coding:
        """Return a pair's full coding; the columns of /pair hold its main values only."""
        target = int(self.target_index[pair])
        number = pair - int(np.flatnonzero(self.target_index == target)[0])
        return self.recipe(target).codings[number]

    def recipe(self, target: int) -> MixRecipe:
        """Return how a target was drawn."""
        return from_json(MixRecipe, json.loads(self._file["recipe"].asstr()[target]))

    def recipes(self) -> list[MixRecipe]:
        """Return how all targets were drawn."""
        return [from_json(MixRecipe, json.loads(text)) for text in self._file["recipe"].asstr()[:]]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(path: Path) -> h5py.File:
    """Open a shard, with or without a lock: one that has its final name is never written again."""
    try:
        if not h5py.is_hdf5(path):
            with path.open("rb"):  # raises the error of the system if the file cannot be read
                raise DamagedShardError(f"{path}: is not an HDF5 file, or its beginning is damaged")
        return _open_with_any_lock(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such shard") from None
    except OSError as error:
        if error.errno:
            raise DataError(f"{path}: cannot be read ({os.strerror(error.errno)})") from None
        reason = str(error).splitlines()[0]
        raise DamagedShardError(f"{path}: cannot be read as HDF5 ({reason})") from None


def _open_with_any_lock(path: Path) -> h5py.File:
    """Open a shard with HDF5's own lock or, where that is not to be had, without one.

    Within a process HDF5 refuses to open a file twice, once with and once without a lock. So
    the lock is left out only where it fails: on NFS without locks, or where another program
    holds it.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if error.errno not in _LOCK_ERRORS and "lock" not in str(error):
            raise
        return h5py.File(path, "r", locking=False)


def find_shards(folder: Path, split: str | None = None) -> list[Path]:
    """Return the shards below a folder (or one file), sorted, of one split or of all.

    Raises
    ------
    DataError
        There is none.
    """
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    places = [folder / split] if split else [folder, *(folder / name for name in SPLITS)]
    found = [path for place in places for path in sorted(place.glob("shard-*.h5"))]
    if not found:
        what = f"shards of split {split!r}" if split else "shards"
        raise DataError(f"{folder}: holds no {what}; build them with apollo-data build-h5")
    return found
