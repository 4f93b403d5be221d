"""Restore files and folders: decode, convert, restore in chunks, encode, one file at a time."""

import contextlib
import dataclasses
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apollo_data.audio.ffmpeg import ffmpeg_version
from apollo_data.audio.files import Samples, is_lossless
from apollo_data.console import Advance, Console, error_reason, is_out_of_memory, show_traceback
from apollo_data.disk_space import require_free_space, telling_full_disk
from apollo_data.errors import AudioError, DataError
from apollo_data.storage import folder_lock, key_of, remove_partials
from apollo_data.workspace.temporary_folders import scratch_folder
from apollo_model.checkpoint.network_identity import network_key
from apollo_model.network.base import Network
from apollo_model.network.memory import return_large_blocks
from apollo_model.restore.audio_in import (
    OpenedAudio,
    missing_seconds,
    open_audio,
    read_blocks,
    told_seconds,
)
from apollo_model.restore.audio_out import encode, write_float
from apollo_model.restore.chunks import block_bytes, plan_chunks, restore_blocks
from apollo_model.restore.formats import OutputFormat
from apollo_model.restore.jobs import JobList, RestoreJob, find_jobs
from apollo_model.restore.resampling import resample_blocks, samples_at_rate
from apollo_model.restore.results import (
    is_done,
    record_of,
    recorded_result,
    remove_dead_partials,
    require_writable,
)
from apollo_model.restore.tag_writing import write_tags
from apollo_model.restore.tags import read_tags

RESTORED, SKIPPED, FAILED = "restored", "skipped", "failed"
SCRATCH_PREFIX = "apollo-restore-"
_SHOWN_NOTES = 5
_LONG_SECONDS = 1800.0
_DISK_MARGIN_BYTES = 1 << 20
_MAKE_ROOM = "make room, or name another folder (--out, $TMPDIR)"


@dataclass(frozen=True)
class RestoreOptions:
    """Options of a restoration.

    Attributes
    ----------
    form
        How results are written.
    keep_rate
        Convert back to the input's sample rate; else results have the network's.
    dry_wet
        1 gives the restored sound, 0 the input.
    max_memory_bytes
        Limit of the network's memory.
    overwrite
        Replace files that this command has not made.
    track
        Which audio track of a file, from 1; None takes the file's default track.
    """

    form: OutputFormat = field(default_factory=OutputFormat)
    keep_rate: bool = False
    dry_wet: float = 1.0
    max_memory_bytes: int = 2 * 10**9
    overwrite: bool = False
    track: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.dry_wet <= 1:
            raise DataError(f"--dry-wet must lie between 0 and 1, found {self.dry_wet:g}")
        if self.track is not None and self.track < 1:
            raise DataError(f"--track counts from 1, found {self.track}")


@dataclass(frozen=True)
class FileResult:
    """What became of a file: restored, skipped (it was done already) or failed, and why."""

    source: str
    out: str
    status: str
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class RestoreReport:
    """All results of a call; `ignored` counts files of the folders without an audio suffix."""

    files: tuple[FileResult, ...]
    ignored: int

    def count(self, status: str) -> int:
        """Return how many files have this status."""
        return sum(file.status == status for file in self.files)


def restore(
    inputs: Sequence[Path],
    out: Path,
    network: Network,
    options: RestoreOptions | None = None,
    console: Console | None = None,
) -> RestoreReport:
    """Restore audio files, and all audio files in folders.

    Each channel is restored by itself, at the network's rate. Memory does not grow with a
    file's length; a float WAV copy of the current file lies in the system's temporary folder.
    A record beside each result holds a key of the input file, the options and the network's
    weights; a file whose key has not changed is skipped. A file that cannot be restored never
    stops the others.

    Parameters
    ----------
    out
        A file, or the folder that mirrors the input folders.
    network
        As `apollo_model.network.precision.prepare_network` gives it.

    Raises
    ------
    DataError
        Nothing can be done at all: no inputs, or too little memory for the network.
    BusyError
        Another restoration writes into the same folder.
    """
    options, console = options or RestoreOptions(), console or Console(quiet=True)
    options.form.check()
    plan_chunks(network, 1, options.max_memory_bytes)
    return_large_blocks(block_bytes(network))
    jobs = find_jobs(inputs, out, options.form.container)
    with contextlib.ExitStack() as stack:
        if jobs.out_folder is not None:
            stack.enter_context(folder_lock(jobs.out_folder))
            remove_partials(jobs.out_folder)
        results = _Run(network, options, console, jobs).all_files()
    return RestoreReport(tuple(results), jobs.ignored)


class _Run:
    """One call: the same network and options for all files."""

    def __init__(
        self, network: Network, options: RestoreOptions, console: Console, jobs: JobList
    ) -> None:
        self._network = network
        self._options = options
        self._console = console
        self._jobs = jobs
        self._lowered_db: list[float] = []
        self._results: dict[tuple[int, int], RestoreJob] = {}  # by device and inode
        fixed = dataclasses.asdict(options)
        for name in ("max_memory_bytes", "overwrite"):  # do not change a sample
            del fixed[name]
        self._key = key_of(network_key(network), fixed, ffmpeg_version())

    def all_files(self) -> list[FileResult]:
        results = []
        for folder, reason in self._jobs.unreadable:
            self._console.warn(f"{folder}: cannot be listed ({reason})")
            results.append(FileResult(str(folder), "", FAILED, reason=reason))
        jobs = self._jobs.jobs
        seconds = [max(1, round(told_seconds(job.source))) for job in jobs]
        with self._console.progress("restore", sum(seconds), "s") as advance:
            for job, told in zip(jobs, seconds, strict=True):
                with _advancing(advance, told) as done:
                    results.append(self._one_file(job, done))
        if (more := len(self._lowered_db) - _SHOWN_NOTES) > 0:
            most = max(self._lowered_db[_SHOWN_NOTES:])
            self._console.note(f"{more} more results are softer, by up to {most:.2f} dB")
        return results

    def _one_file(self, job: RestoreJob, done: Callable[[float], None]) -> FileResult:
        """Restore a file unless it is done; an error becomes the reason of its result."""
        source, out = str(job.source), str(job.out)
        try:
            key = key_of(self._key, _state_of(job.source))
            if is_done(job.out, key):
                self._remember(job)
                return FileResult(source, out, SKIPPED)
            self._refuse_place(job)
            require_writable(job.out)
            if self._jobs.out_folder is None:
                remove_dead_partials(job.out)
            seconds = self._restore(job, key, done)
            self._remember(job)
        except Exception as error:  # whatever a library raises for this file, others follow
            show_traceback()
            reason = _reason(error, source)
            self._console.warn(f"{source}: {reason}")
            return FileResult(source, out, FAILED, reason=reason)
        return FileResult(source, out, RESTORED, seconds)

    def _remember(self, job: RestoreJob) -> None:
        state = job.out.stat()
        self._results[state.st_dev, state.st_ino] = job

    def _refuse_place(self, job: RestoreJob) -> None:
        """Raise a `DataError` if the result would replace what it must not."""
        if not job.out.exists():
            return
        jobs = self._jobs.jobs
        if any(other.source.exists() and job.out.samefile(other.source) for other in jobs):
            raise DataError(f"{job.out} is an input of this run; choose another --out")
        if not job.out.is_file():
            raise DataError(f"{job.out} is in the way, and is not a file; choose another --out")
        state = job.out.stat()
        if (other := self._results.get((state.st_dev, state.st_ino))) is not None:
            raise DataError(
                f"{job.out} and {other.out}, the result of {other.source}, are one file on this"
                " disk; restore the inputs one after the other, into folders of their own"
            )
        if not self._options.overwrite and not record_of(job.out).exists():
            raise DataError(f"{job.out} exists and was not made by this command; use --overwrite")

    def _restore(self, job: RestoreJob, key: str, done: Callable[[float], None]) -> float:
        options = self._options
        place = Path(tempfile.gettempdir())
        with scratch_folder(place, SCRATCH_PREFIX) as scratch:
            with telling_full_disk(place, _MAKE_ROOM):
                audio = self._open(job.source, scratch)
            restored = scratch / "restored.wav"
            self._check_size(audio, place, job.out.parent)
            with telling_full_disk(place, _MAKE_ROOM):
                peak = self._write_restored(audio, restored, done)
            with (
                telling_full_disk(job.out.parent, _MAKE_ROOM),
                recorded_result(job.out, key) as temporary,
            ):
                encode(restored, temporary, options.form, self._scale(job, peak))
                self._write_tags(job, temporary)
            return audio.info.seconds

    def _open(self, source: Path, scratch: Path) -> OpenedAudio:
        told = told_seconds(source)
        if told > _LONG_SECONDS and not is_lossless(source):
            self._console.note(f"{source}: decoding {told / 3600:.1f} h of sound first")
        audio = open_audio(source, scratch, self._options.track)
        if len(audio.tracks) > 1:
            others = ", ".join(str(track) for track in audio.tracks if track != audio.track)
            self._console.note(
                f"{source}: has {len(audio.tracks)} audio tracks; restoring track {audio.track};"
                f" --track chooses another: {others}"
            )
        if missing := missing_seconds(audio):
            self._console.warn(
                f"{source}: its last {missing:.1f} s could not be decoded; is it whole?"
            )
        return audio

    def _final_rate(self, audio: OpenedAudio) -> int:
        given = audio.info.sample_rate
        wanted = given if self._options.keep_rate else self._network.sample_rate
        return self._options.form.rate_for(wanted)

    def _check_size(self, audio: OpenedAudio, scratch: Path, folder: Path) -> None:
        """Check before the work that the format and the disks can take the result."""
        form, info = self._options.form, audio.info
        rate = self._final_rate(audio)
        samples = samples_at_rate(info.frames, info.sample_rate, rate) * info.channels
        form.check_size(info.channels, samples)
        result = form.likely_bytes(info.channels, samples, info.seconds)
        needed = {scratch: 4 * samples, folder: result + _DISK_MARGIN_BYTES}
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
        self._lowered_db.append(lower_db)
        if len(self._lowered_db) <= _SHOWN_NOTES:
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
    """Yield a function that counts seconds; at the end a file has counted the expected ones."""
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


def _reason(error: Exception, source: str) -> str:
    """Return why a file failed, in one line that names no temporary file."""
    if is_out_of_memory(error):
        return "there is not enough memory; give a smaller --max-memory"
    text = " ".join(error_reason(error).split())
    text = re.sub(rf"(file:)?\S*/{SCRATCH_PREFIX}\w+/[^\s:]*", lambda _match: source, text)
    return text.removeprefix(f"{source}: ")
