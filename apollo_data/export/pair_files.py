"""Pairs of shards as audio files, two for each pair."""

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.io.wavfile
import soundfile

from apollo_data.audio.files import Samples
from apollo_data.console import Console
from apollo_data.export.folder import ExportReport
from apollo_data.parallel import parallel_map
from apollo_data.shards import ShardReader
from apollo_data.storage import whole_file

WAV, FLAC = "wav", "flac"
_HEAD_BYTES = 64
_SAMPLE_BYTES = {"FLOAT": 4, "PCM_16": 2, "PCM_24": 3}


@dataclass(frozen=True)
class PairRow:
    """One exported pair: its files, relative to the export, and its coding."""

    split: str
    degraded: str
    clean: str
    codec: str
    requested_kbps: float
    actual_kbps: float
    scale: float
    songs: tuple[str, ...]


@dataclass(frozen=True)
class PairTask:
    """The pairs of one shard and where they go.

    Attributes
    ----------
    shard
        The shard.
    first
        Running number of its first pair in its split.
    pairs, split, samples, sample_rate
        As in the shard.
    out
        Folder of the export.
    degraded, clean
        The files' paths below `out`, with ``{split}`` and ``{name}`` for a pair's own.
    subtype
        Sample format: ``FLOAT`` (WAV), ``PCM_16`` or ``PCM_24`` (FLAC).
    """

    shard: Path
    first: int
    pairs: int
    split: str
    samples: int
    sample_rate: int
    out: Path
    degraded: str
    clean: str
    subtype: str


@dataclass(frozen=True)
class PairsDone:
    """The result of a task."""

    task: PairTask
    rows: tuple[PairRow, ...]
    bytes: int
    written: int

    def count(self, report: ExportReport, folder: str) -> None:
        """Add these files to a report."""
        report.add(
            folder,
            files=2 * self.task.pairs,
            clips=self.task.pairs,
            seconds=self.task.pairs * self.task.samples / self.task.sample_rate,
            size_bytes=self.bytes,
            written=self.written,
        )


def plan_pairs(
    shards: Sequence[Path], out: Path, degraded: str, clean: str, file_format: str
) -> list[PairTask]:
    """Return one task a shard.

    Parameters
    ----------
    shards
        In order; pairs are numbered by split.
    out
        Folder of the export.
    degraded, clean
        The files' paths below `out`, with ``{split}`` and ``{name}`` for a pair's own.
    file_format
        ``wav`` is written in floating point, ``flac`` with the shard's 16 bits or, if it holds
        floating point, with 24.
    """
    tasks: list[PairTask] = []
    counts: dict[str, int] = {}
    for path in shards:
        with ShardReader(path) as shard:
            first = counts.get(shard.split, 0)
            counts[shard.split] = first + shard.pairs
            tasks.append(
                PairTask(
                    shard=path,
                    first=first,
                    pairs=shard.pairs,
                    split=shard.split,
                    samples=shard.samples,
                    sample_rate=shard.sample_rate,
                    out=out,
                    degraded=degraded,
                    clean=clean,
                    subtype=_subtype(shard, file_format),
                )
            )
    return tasks


def _subtype(shard: ShardReader, file_format: str) -> str:
    if file_format == WAV:
        return "FLOAT"
    return "PCM_16" if shard.targets and shard.read_target(0).dtype == np.int16 else "PCM_24"


def shard_keys(shards: Sequence[Path]) -> list[tuple[str, str]]:
    """Return the split and key of each shard, which the exported files are made from."""
    keys = []
    for path in shards:
        with ShardReader(path) as shard:
            keys.append((shard.split, shard.key))
    return keys


def write_all_pairs(
    tasks: Sequence[PairTask], title: str, workers: int, console: Console
) -> Iterator[PairsDone]:
    """Write all files that are not there yet, shard by shard."""
    with (
        console.progress(title, sum(task.pairs for task in tasks), "pairs") as advance,
        contextlib.closing(parallel_map(write_pairs, tasks, workers)) as results,
    ):
        for done in results:
            advance(done.task.pairs)
            yield done


def missing_bytes(task: PairTask) -> int:
    """Return how many bytes, at most, the files of a task take that are not there yet."""
    size = task.samples * 2 * _SAMPLE_BYTES[task.subtype] + _HEAD_BYTES
    with ShardReader(task.shard) as shard:
        files = [file for pair in range(shard.pairs) for file in _files(task, shard, pair)]
    return sum(size for file in files if not (task.out / file).is_file())


def write_pairs(task: PairTask) -> PairsDone:
    """Write the files of a task that are not there yet."""
    rows: list[PairRow] = []
    size = written = 0
    with ShardReader(task.shard) as shard:
        recipes = shard.recipes()
        for pair in range(shard.pairs):
            files = _files(task, shard, pair)
            places = [task.out / file for file in files]
            for place, audio in zip(places, shard.read_pair(pair), strict=True):
                if not _holds(place, audio, task):
                    _write(place, audio, task)
                    written += 1
            size += sum(place.stat().st_size for place in places)
            songs = recipes[int(shard.target_index[pair])].songs
            rows.append(_row(shard, pair, files, songs))
    return PairsDone(task, tuple(rows), size, written)


def _files(task: PairTask, shard: ShardReader, pair: int) -> tuple[str, str]:
    """Return the paths of a pair's degraded and clean file, relative to the export."""
    name = pair_name(task.first + pair, shard.codec_names[pair], shard.requested_kbps[pair])
    own = {"split": task.split, "name": name}
    return task.degraded.format(**own), task.clean.format(**own)


def pair_name(number: int, codec: str, requested_kbps: float) -> str:
    """Name a pair by its running number in the split and by how it was coded.

    Examples
    --------
    >>> pair_name(7, "mp3", 24.0), pair_name(8, "mp3+aac", float("nan"))
    ('00007_mp3_24k', '00008_mp3-aac')
    """
    bitrate = f"_{requested_kbps:g}k" if math.isfinite(requested_kbps) else ""
    return f"{number:05d}_{re.sub(r'[^A-Za-z0-9.]+', '-', codec)}{bitrate}"


def _row(shard: ShardReader, pair: int, files: tuple[str, str], songs: tuple[str, ...]) -> PairRow:
    return PairRow(
        split=shard.split,
        degraded=files[0],
        clean=files[1],
        codec=str(shard.codec_names[pair]),
        requested_kbps=float(shard.requested_kbps[pair]),
        actual_kbps=float(shard.actual_kbps[pair]),
        scale=float(shard.scale[pair]),
        songs=tuple(dict.fromkeys(songs)),
    )


def _holds(path: Path, audio: Samples, task: PairTask) -> bool:
    """Tell whether a file holds exactly these samples; a cut file may still have its header."""
    if not path.is_file():
        return False
    expected = audio if task.subtype == "FLOAT" else pcm(audio, task.subtype)
    try:
        with soundfile.SoundFile(path) as file:
            if (file.samplerate, file.subtype) != (task.sample_rate, task.subtype):
                return False
            found = file.read(dtype=expected.dtype.name, always_2d=True).T
    except (soundfile.LibsndfileError, OSError):
        return False
    return bool(np.array_equal(found, expected))


def _write(path: Path, audio: Samples, task: PairTask) -> None:
    with whole_file(path) as temporary:
        if task.subtype == "FLOAT":
            # libsndfile would store the time of writing, so files would differ.
            scipy.io.wavfile.write(temporary, task.sample_rate, np.ascontiguousarray(audio.T))
        else:
            samples = pcm(audio, task.subtype)
            soundfile.write(
                str(temporary), samples.T, task.sample_rate, task.subtype, format="FLAC"
            )


def pcm(audio: Samples, subtype: str) -> npt.NDArray[np.integer]:
    """Return audio as 16- or 24-bit samples for soundfile; full scale is 32767 or 2**23 - 1.

    A clip of a 16-bit shard has exactly the samples of the shard.
    """
    if subtype == "PCM_16":
        return np.rint(audio * np.float32(32767.0)).astype(np.int16)
    return np.rint(audio.astype(np.float64) * (2**23 - 1)).astype(np.int32) << 8
