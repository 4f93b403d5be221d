"""Restore files and folders: decode, convert, restore in chunks, encode, one file at a time."""

import contextlib
import dataclasses
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mutagen
import torch

from apollo_data.audio.ffmpeg import ffmpeg_version
from apollo_data.audio.files import Samples, is_lossless
from apollo_data.console import Advance, Console
from apollo_data.disk_space import require_free_space, telling_full_disk
from apollo_data.errors import ApolloError, AudioError, DataError
from apollo_data.storage import folder_lock, key_of, remove_partials, whole_file, write_text
from apollo_model.network.apollo import Apollo
from apollo_model.network.memory import return_large_blocks
from apollo_model.restore.audio_in import (
    OpenedAudio,
    missing_seconds,
    open_audio,
    read_blocks,
    told_seconds,
)
from apollo_model.restore.audio_out import OutputFormat, encode, write_float
from apollo_model.restore.chunks import block_bytes, plan_chunks, restore_blocks
from apollo_model.restore.jobs import JobList, RestoreJob, find_jobs
from apollo_model.restore.resampling import resample_blocks, samples_at_rate
from apollo_model.restore.tags import read_tags, write_tags

RESTORED, SKIPPED, FAILED = "restored", "skipped", "failed"
_RECORD_SUFFIX = ".apollo.json"
_SHOWN_NOTES = 5
_LONG_SECONDS = 1800.0
_DISK_MARGIN_BYTES = 1 << 20
_MAKE_ROOM = "make room, or name another folder (--out, $TMPDIR)"


@dataclass(frozen=True)
class RestoreOptions:
    """What a restoration may be told.

    Attributes
    ----------
    form
        How results are written.
    keep_rate
        Convert back to the input's sample rate; else results have the network's.
    dry_wet
        1 gives the restored sound, 0 the input.
    max_memory_bytes
        Bound of the network's work.
    overwrite
        Replace files that this command has not made.
    """

    form: OutputFormat = field(default_factory=OutputFormat)
    keep_rate: bool = False
    dry_wet: float = 1.0
    max_memory_bytes: int = 2 * 10**9
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.dry_wet <= 1:
            raise DataError(f"--dry-wet must lie between 0 and 1, found {self.dry_wet:g}")


@dataclass(frozen=True)
class FileResult:
    """What became of a file: restored, skipped (it is done) or failed, and why."""

    source: str
    out: str
    status: str
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class RestoreReport:
    """All results of a call; `ignored` files of the folders are no audio by their names."""

    files: tuple[FileResult, ...]
    ignored: int

    def count(self, status: str) -> int:
        """Return how many files ended so."""
        return sum(file.status == status for file in self.files)


def restore(
    inputs: Sequence[Path],
    out: Path,
    network: Apollo,
    options: RestoreOptions | None = None,
    console: Console | None = None,
    network_key: str = "",
) -> RestoreReport:
    """Restore audio files, and folders with all that is in them.

    Each channel is restored by itself, at the network's rate. Memory does not grow with a
    file's length; a copy in float WAV of the file at work lies in the system's temporary
    folder. What is done is recognised by a record beside each result and not done again. A
    file that cannot be restored never stops the others.

    Parameters
    ----------
    out
        A file, or the folder in which input folders are mirrored.
    network
        As `apollo_model.network.precision.prepare_network` gives it.
    network_key
        Tells networks apart: results of another one are made anew.

    Raises
    ------
    DataError
        Nothing can be done at all: no inputs, or too little memory for the network.
    BusyError
        Another restoration writes into the same folder.
    """
    options, console = options or RestoreOptions(), console or Console(quiet=True)
    plan_chunks(network, 1, options.max_memory_bytes)
    return_large_blocks(block_bytes(network))
    jobs = find_jobs(inputs, out, options.form.container)
    with contextlib.ExitStack() as stack:
        if jobs.out_folder is not None:
            stack.enter_context(folder_lock(jobs.out_folder))
            remove_partials(jobs.out_folder)
        run = _Run(network, network_key, options, console, jobs)
        return RestoreReport(tuple(run.all_files()), jobs.ignored)


class _Run:
    """One call: the same network and options for all files."""

    def __init__(
        self,
        network: Apollo,
        network_key: str,
        options: RestoreOptions,
        console: Console,
        jobs: JobList,
    ) -> None:
        self._network = network
        self._options = options
        self._console = console
        self._jobs = jobs.jobs
        self._softened_db: list[float] = []
        fixed = dataclasses.asdict(options)
        for name in ("max_memory_bytes", "overwrite"):  # do not change a sample
            del fixed[name]
        self._key = key_of(network_key, network.settings, fixed, ffmpeg_version())

    def all_files(self) -> list[FileResult]:
        seconds = [max(1, round(told_seconds(job.source))) for job in self._jobs]
        results = []
        with self._console.progress("restore", sum(seconds), "s") as advance:
            for job, told in zip(self._jobs, seconds, strict=True):
                with _advancing(advance, told) as done:
                    results.append(self._one_file(job, done))
        if (more := len(self._softened_db) - _SHOWN_NOTES) > 0:
            most = max(self._softened_db[_SHOWN_NOTES:])
            self._console.note(f"{more} more results are softer, by up to {most:.2f} dB")
        return results

    def _one_file(self, job: RestoreJob, done: Callable[[float], None]) -> FileResult:
        """Restore a file if that is not done; turn its errors into the reason of a result."""
        source, out = str(job.source), str(job.out)
        try:
            key = key_of(self._key, _state_of(job.source))
            if _is_done(job.out, key):
                return FileResult(source, out, SKIPPED)
            self._refuse_place(job)
            seconds = self._restore(job, key, done)
        except (ApolloError, OSError, mutagen.MutagenError, torch.OutOfMemoryError) as error:
            reason = _one_line(error, source)
            self._console.warn(f"{source}: {reason}")
            return FileResult(source, out, FAILED, reason=reason)
        return FileResult(source, out, RESTORED, seconds)

    def _refuse_place(self, job: RestoreJob) -> None:
        if not job.out.exists():
            return
        if any(other.source.exists() and job.out.samefile(other.source) for other in self._jobs):
            raise DataError(f"{job.out} is an input of this run; choose another --out")
        if not job.out.is_file():
            raise DataError(f"{job.out} is in the way, and no file")
        if not self._options.overwrite and not _record_of(job.out).exists():
            raise DataError(f"{job.out} exists and was not made by this command; use --overwrite")

    def _restore(self, job: RestoreJob, key: str, done: Callable[[float], None]) -> float:
        options = self._options
        with tempfile.TemporaryDirectory(prefix="apollo-") as folder:
            told = told_seconds(job.source)
            if told > _LONG_SECONDS and not is_lossless(job.source):
                self._console.note(f"{job.source}: decoding {told / 3600:.1f} h of sound first")
            audio = open_audio(job.source, Path(folder))
            if missing := missing_seconds(audio):
                self._console.warn(
                    f"{job.source}: its last {missing:.1f} s could not be decoded; is it whole?"
                )
            options.form.check_channels(audio.info.channels)
            restored = Path(folder) / "restored.wav"
            job.out.parent.mkdir(parents=True, exist_ok=True)
            self._require_space(audio, Path(folder), job.out.parent)
            with telling_full_disk(Path(folder), _MAKE_ROOM):
                peak = self._write_restored(audio, restored, done)
            with whole_file(job.out) as temporary, telling_full_disk(job.out.parent, _MAKE_ROOM):
                encode(restored, temporary, options.form, self._scale(job, peak))
                self._write_tags(job, temporary)
                record = {"key": key, "bytes": temporary.stat().st_size}
                write_text(_record_of(job.out), json.dumps(record) + "\n")
            return audio.info.seconds

    def _final_rate(self, audio: OpenedAudio) -> int:
        given = audio.info.sample_rate
        wanted = given if self._options.keep_rate else self._network.sample_rate
        return self._options.form.rate_for(wanted)

    def _require_space(self, audio: OpenedAudio, scratch: Path, folder: Path) -> None:
        rate = self._final_rate(audio)
        samples = samples_at_rate(audio.info.frames, audio.info.sample_rate, rate)
        written = samples * audio.info.channels
        result = self._options.form.likely_bytes(written, audio.info.seconds)
        needed = {scratch: 4 * written, folder: result + _DISK_MARGIN_BYTES}
        require_free_space(needed, "the restoration", _MAKE_ROOM)

    def _write_restored(
        self, audio: OpenedAudio, restored: Path, done: Callable[[float], None]
    ) -> float:
        """Write the restored sound as float WAV at its final rate; return its peak."""
        rate, channels = self._network.sample_rate, audio.info.channels
        given, frames = audio.info.sample_rate, audio.info.frames
        final = self._final_rate(audio)
        plan = plan_chunks(self._network, channels, self._options.max_memory_bytes)
        at_rate = samples_at_rate(frames, given, rate)
        blocks = resample_blocks(read_blocks(audio), channels, given, rate, at_rate)
        wet = restore_blocks(self._network, blocks, plan, self._options.dry_wet)
        counted = _counted(wet, rate, done)
        exact = samples_at_rate(frames, given, final)
        sound = resample_blocks(counted, channels, rate, final, exact)
        return write_float(restored, sound, final, channels, exact)

    def _scale(self, job: RestoreJob, peak: float) -> float:
        """Return the factor that keeps a result from clipping, and say so."""
        if peak <= 1 or not self._options.form.clips:
            return 1.0
        lower_db = 20 * math.log10(peak)
        self._softened_db.append(lower_db)
        if len(self._softened_db) <= _SHOWN_NOTES:
            self._console.note(
                f"{job.out}: its peak would be {lower_db:+.2f} dBFS; all of it is"
                f" {lower_db:.2f} dB lower (float WAV keeps the level)"
            )
        return 1 / peak

    def _write_tags(self, job: RestoreJob, temporary: Path) -> None:
        with temporary.open("rb") as written:
            is_rf64 = written.read(4) == b"RF64"
        if is_rf64:
            self._console.warn(f"{job.out}: is larger than 4 GB, so it carries no tags")
            return
        left_out = write_tags(temporary, self._options.form.container, read_tags(job.source))
        if left_out:
            self._console.warn(f"{job.out}: {left_out} pictures of more than 16 MB are left out")


def _counted(
    blocks: Iterator[Samples], rate: int, done: Callable[[float], None]
) -> Iterator[Samples]:
    for block in blocks:
        yield block
        done(block.shape[1] / rate)


@contextlib.contextmanager
def _advancing(advance: Advance, told_seconds: int) -> Iterator[Callable[[float], None]]:
    """Yield a function that counts seconds; in the end a file has counted what it told."""
    counted, exact = 0, 0.0

    def done(seconds: float) -> None:
        nonlocal counted, exact
        exact += seconds
        whole = min(int(exact), told_seconds)
        advance(whole - counted)
        counted = whole

    try:
        yield done
    finally:
        advance(told_seconds - counted)


def _state_of(source: Path) -> list[int | str]:
    if not source.exists():
        raise AudioError(f"{source}: no such file")
    state = source.stat()
    return [source.name, state.st_size, state.st_mtime_ns]


def _record_of(out: Path) -> Path:
    return out.with_name(f".{out.name}{_RECORD_SUFFIX}")


def _is_done(out: Path, key: str) -> bool:
    try:
        record = json.loads(_record_of(out).read_text(encoding="utf-8"))
        return bool(record == {"key": key, "bytes": out.stat().st_size})
    except (OSError, ValueError):
        return False


def _one_line(error: Exception, source: str) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "the GPU's memory is too small; give a smaller --max-memory"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split()).removeprefix(f"{source}: ")
