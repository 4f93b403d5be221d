"""Building shards: rate by workers, where the time goes, memory of a worker by clips."""

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from apollo_data.console import Console
from apollo_data.mixing import rendering
from apollo_data.pipeline import build_h5, build_h5_part
from apollo_data.settings import Settings, parse_settings
from apollo_data.shards import ShardWriter
from apollo_data.shards.build import ShardPart
from apollo_data.sources.demo.songs import write_demo
from apollo_data.workspace.folder import WorkFolder
from benchmarks.figure import Figure

_QUIET = Console(quiet=True)
_ALL = ShardPart(0, None)
_CLIPS = 96


def settings_for(clips: int, clip_seconds: float = 3.0) -> Settings:
    """Return settings of a build of training clips alone, 24 a shard."""
    values: dict[str, Any] = {
        "activity": {"detector": "energy"},
        "mixing": {"clip_seconds": clip_seconds},
        "shards": {"train_clips": clips, "valid_clips": 0, "clips_per_shard": 24},
        "evaluation": {"per_category": 0},
    }
    return parse_settings(values, "benchmark")


def measure(folder: Path) -> list[Figure]:
    """Build clips from demo songs, which are made first."""
    write_demo(folder / "songs", 8, 24.0, 0, 1, lambda _song: None)
    work, settings = WorkFolder.at(folder / "work"), settings_for(_CLIPS)
    build_h5(folder / "songs", work, settings, 1, _QUIET)
    rates = [_CLIPS / _rebuild(work, settings, 1)]
    _rebuild(work, settings, 2)  # starts the processes
    rates.append(_CLIPS / _rebuild(work, settings, 2))
    share = _other_share(work, settings)
    few, many = (_peak_megabytes(folder, clips) for clips in (24, 240))
    return [
        Figure("build, 1 worker", rates[0], "clips/s", rates[0], "itself"),
        Figure("build, 2 workers", rates[1], "clips/s", rates[0], "1 worker"),
        Figure("CPU beside MP3, reading, HDF5", 100 * share, "%", 100.0, "all of the build"),
        Figure("peak memory, 240 clips", many, "MB", few, "24 clips"),
    ]


def _rebuild(work: WorkFolder, settings: Settings, workers: int) -> float:
    """Build all shards of the plan anew and return the seconds."""
    for shard in work.shards.rglob("shard-*.h5"):
        shard.unlink()
    started = time.perf_counter()
    build_h5_part(work, settings, _ALL, workers, _QUIET)
    return time.perf_counter() - started


def _other_share(work: WorkFolder, settings: Settings) -> float:
    """Return the share of CPU time that is neither ffmpeg's nor reading's nor HDF5's."""
    spent = [0.0]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_timed(rendering, "read_sound", spent))
        stack.enter_context(_timed(ShardWriter, "add", spent))
        stack.enter_context(_timed(ShardWriter, "_finish", spent))
        before = _cpu_seconds()
        _rebuild(work, settings, 1)
        own, children = (now - then for now, then in zip(_cpu_seconds(), before, strict=True))
    return (own - spent[0]) / (own + children)


def _cpu_seconds() -> tuple[float, float]:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    own, children = (usage.ru_utime + usage.ru_stime for usage in usages)
    return own, children


@contextlib.contextmanager
def _timed(place: Any, name: str, spent: list[float]) -> Iterator[None]:
    """Add the CPU seconds of every call of a function to `spent`."""
    function: Callable[..., Any] = getattr(place, name)

    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[0] += time.process_time() - started

    with mock.patch.object(place, name, timed):
        yield


def _peak_megabytes(folder: Path, clips: int) -> float:
    """Return the peak memory of a process that builds clips of 1 s."""
    command = [sys.executable, "-m", "benchmarks.building", str(folder), str(clips)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    songs, count = Path(sys.argv[1]), int(sys.argv[2])
    target = WorkFolder.at(songs / f"memory-{count}")
    build_h5(songs / "songs", target, settings_for(count, 1.0), 1, _QUIET)
    # Not ru_maxrss, which begins with the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    print(int(status["VmHWM"].split()[0]) / 1024)
