"""What each compression of shards costs and saves.

Example: ``python -m benchmarks.storage data/demo/shards/train/shard-00000.h5``
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py

from apollo_data.shards.compression import dataset_options
from benchmarks.figure import seconds

_NAMES = ("none", "lzf", "gzip", "blosc2")


def measure(shard: Path) -> list[tuple[str, float, float, float]]:
    """Return name, MB on disk, and clips written and read a second, of the clips of a shard."""
    with h5py.File(shard) as file:
        clips = file["codec"][:]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in _NAMES:
            path = Path(folder) / f"{name}.h5"
            written = seconds(lambda path=path, name=name: _write(path, name, clips))
            read = seconds(lambda path=path: _read(path))
            rows.append((name, path.stat().st_size / 1e6, len(clips) / written, len(clips) / read))
    return rows


def _write(path: Path, name: str, clips: Any) -> None:
    with h5py.File(path, "w") as file:
        chunk = (1, *clips.shape[1:])
        options = dataset_options(name, str(path))
        rows = file.create_dataset("codec", clips.shape, clips.dtype, chunks=chunk, **options)
        for number, clip in enumerate(clips):
            rows[number] = clip


def _read(path: Path) -> None:
    with h5py.File(path) as file:
        for number in range(len(file["codec"])):
            file["codec"][number]


if __name__ == "__main__":
    for name, megabytes, written, read in measure(Path(sys.argv[1])):
        print(f"{name:8} {megabytes:8.1f} MB {written:8.0f} written/s {read:8.0f} read/s")
