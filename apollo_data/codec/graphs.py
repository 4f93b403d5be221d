"""Many clips through one ffmpeg process each way, whatever their codecs are."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np

from apollo_data.audio import Samples, run_ffmpeg
from apollo_data.codec.formats import FORMATS, encoder_options
from apollo_data.records import Coding
from apollo_data.scratch import scratch_folder

_MEMORY_FOLDER = Path("/dev/shm")
_MIN_FREE_BYTES = 1 << 30


@dataclass(frozen=True)
class Job:
    """One sound, (2, samples) float32 at `rate` hertz, and how it is coded."""

    sound: Samples
    rate: int
    coding: Coding


def encode_and_decode(jobs: Sequence[Job], timeout_seconds: float) -> list[tuple[Samples, bytes]]:
    """Return what the decoder gives for each job, (2, any) float32, and the coded stream.

    Raises
    ------
    AudioError
        ffmpeg failed or took too long.
    """
    with _work_folder() as folder:
        raw = [folder / f"{number}.f32" for number in range(len(jobs))]
        streams = [folder / f"{number}.{job.coding.codec}" for number, job in enumerate(jobs)]
        for file, job in zip(raw, jobs, strict=True):
            job.sound.T.astype("<f4").tofile(file)
        run_ffmpeg(_encode_graph(raw, streams, jobs), timeout_seconds)
        run_ffmpeg(_decode_graph(streams, raw, jobs), timeout_seconds)
        return [
            (np.fromfile(file, "<f4").reshape(-1, 2).T, stream.read_bytes())
            for file, stream in zip(raw, streams, strict=True)
        ]


@contextlib.contextmanager
def _work_folder() -> Iterator[Path]:
    """Yield a folder for short-lived files: in memory where there is room for them."""
    place = Path(tempfile.gettempdir())
    with contextlib.suppress(OSError):
        room = os.statvfs(_MEMORY_FOLDER)
        if room.f_bavail * room.f_frsize >= _MIN_FREE_BYTES and os.access(_MEMORY_FOLDER, os.W_OK):
            place = _MEMORY_FOLDER
    with scratch_folder(place, "apollo-codec-") as folder:
        yield folder


def _encode_graph(
    raw: Sequence[Path], streams: Sequence[Path], jobs: Sequence[Job]
) -> ffmpeg.nodes.OutputStream:
    outputs = [
        ffmpeg.input(str(source), format="f32le", ac=2, ar=job.rate).output(
            str(stream), **encoder_options(job.coding, job.rate)
        )
        for source, stream, job in zip(raw, streams, jobs, strict=True)
    ]
    return ffmpeg.merge_outputs(*outputs)


def _decode_graph(
    streams: Sequence[Path], raw: Sequence[Path], jobs: Sequence[Job]
) -> ffmpeg.nodes.OutputStream:
    outputs = [
        ffmpeg.input(
            str(stream),
            format=FORMATS[job.coding.codec].demuxer,
            protocol_whitelist="file,pipe",
        ).output(str(file), format="f32le", acodec="pcm_f32le")
        for stream, file, job in zip(streams, raw, jobs, strict=True)
    ]
    return ffmpeg.merge_outputs(*outputs)
