"""ffmpeg graphs: many clips of any codecs through one encoding and one decoding process."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from apollo_data.audio.ffmpeg import run_ffmpeg
from apollo_data.audio.files import Samples
from apollo_data.codec.formats import FORMATS, encoder_options
from apollo_data.errors import AudioError
from apollo_data.records import Coding
from apollo_data.workspace.temporary_folders import scratch_folder

_MEMORY_FOLDER = Path("/dev/shm")
_MIN_FREE_BYTES = 1 << 30
_FRAME_SAMPLES = 1 << 15


@dataclass(frozen=True)
class Job:
    """One sound, its coding, and the part of the decoder's output to keep.

    Attributes
    ----------
    sound
        (2, samples) float32 at `rate` hertz.
    first, count
        The part to keep, in samples of the decoder's output.
    """

    sound: Samples
    rate: int
    coding: Coding
    first: int
    count: int


def encode_and_decode(jobs: Sequence[Job], timeout_seconds: float) -> list[tuple[Samples, bytes]]:
    """Return for each job the part to keep of the decoded sound, (2, count), and the coded stream.

    Raises
    ------
    AudioError
        ffmpeg failed or took too long, or a decoder gave too few samples.
    """
    with _work_folder() as folder:
        streams = [folder / f"{number}.{job.coding.codec}" for number, job in enumerate(jobs)]
        places = _places_by_rate(jobs)
        raw = {rate: folder / f"{rate}.f32" for rate in places}
        for rate, own in places.items():
            with raw[rate].open("wb") as file:
                for place in own:
                    np.ascontiguousarray(jobs[place].sound.T, "<f4").tofile(file)
        encoded = [
            output
            for rate, own in places.items()
            for output in _encode(
                raw[rate], [streams[place] for place in own], [jobs[place] for place in own]
            )
        ]
        run_ffmpeg(ffmpeg.merge_outputs(*encoded), timeout_seconds)
        decoded = [
            _decode([streams[place] for place in own], raw[rate], [jobs[place] for place in own])
            for rate, own in places.items()
        ]
        run_ffmpeg(ffmpeg.merge_outputs(*decoded), timeout_seconds)
        heard: dict[int, Samples] = {}
        for rate, own in places.items():
            heard |= zip(own, _cut(raw[rate], [jobs[place] for place in own]), strict=True)
        return [(heard[place], stream.read_bytes()) for place, stream in enumerate(streams)]


def _places_by_rate(jobs: Sequence[Job]) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for place, job in enumerate(jobs):
        places.setdefault(job.rate, []).append(place)
    return places


@contextlib.contextmanager
def _work_folder() -> Iterator[Path]:
    """Yield a folder for temporary files, in memory if it has room for them."""
    place = Path(tempfile.gettempdir())
    with contextlib.suppress(OSError):
        room = os.statvfs(_MEMORY_FOLDER)
        if room.f_bavail * room.f_frsize >= _MIN_FREE_BYTES and os.access(_MEMORY_FOLDER, os.W_OK):
            place = _MEMORY_FOLDER
    with scratch_folder(place, "apollo-codec-") as folder:
        yield folder


def _encode(raw: Path, streams: Sequence[Path], jobs: Sequence[Job]) -> list[Any]:
    """Cut one file of all sounds into one stream each.

    ffmpeg reads it from start to end, so its encoders work one after the other. Several at
    once would take cores away from other workers.
    """
    source = ffmpeg.input(str(raw), format="f32le", ac=2, ar=jobs[0].rate)
    copies = source.filter_multi_output("asplit", len(jobs))
    outputs = []
    start = 0
    for number, (stream, job) in enumerate(zip(streams, jobs, strict=True)):
        end = start + job.sound.shape[1]
        sound = copies[number].filter("atrim", start_sample=start, end_sample=end)
        sound = sound.filter("asetpts", "PTS-STARTPTS")
        outputs.append(sound.output(str(stream), **encoder_options(job.coding, job.rate)))
        start = end
    return outputs


def _decode(streams: Sequence[Path], raw: Path, jobs: Sequence[Job]) -> Any:
    """Write the parts to keep of all decoded streams into one file, one after the other."""
    sounds = []
    for stream, job in zip(streams, jobs, strict=True):
        demuxer = FORMATS[job.coding.codec].demuxer
        source = ffmpeg.input(str(stream), format=demuxer, protocol_whitelist="file,pipe")
        last = job.first + job.count
        sound = source.audio.filter("atrim", start_sample=job.first, end_sample=last)
        sounds.append(sound.filter("asetpts", "PTS-STARTPTS"))
    # Few large frames cost less than many small ones between ffmpeg's threads.
    joined = ffmpeg.concat(*sounds, v=0, a=1).filter("asetnsamples", n=_FRAME_SAMPLES, p=0)
    return joined.output(str(raw), format="f32le", acodec="pcm_f32le")


def _cut(raw: Path, jobs: Sequence[Job]) -> Iterator[Samples]:
    """Yield each job's part of a decoded file.

    No decoder can have given more than its part, so a correct total shows that
    each part is complete.
    """
    heard = np.fromfile(raw, "<f4").reshape(-1, 2).T
    wanted = sum(job.count for job in jobs)
    if heard.shape[1] != wanted:
        labels = ", ".join(dict.fromkeys(job.coding.label for job in jobs))
        raise AudioError(f"{labels} gave {heard.shape[1]} samples for {wanted}")
    first = 0
    for job in jobs:
        yield heard[:, first : first + job.count]
        first += job.count
