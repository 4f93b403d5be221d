"""The user's own pairs: decoded, aligned, and cut into clips."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from apollo_data.activity.detect import detect
from apollo_data.audio.files import (
    AudioInfo,
    Samples,
    decode,
    is_lossless,
    probe,
    read_sound,
    samples_at,
)
from apollo_data.audio.scan_file import measure
from apollo_data.audio.spans import frames_of_spans
from apollo_data.console import Console
from apollo_data.errors import AudioError
from apollo_data.pairing.alignment import Alignment, correlate
from apollo_data.parallel import parallel_map
from apollo_data.records import AlignedPair, PairClip, PairedFiles, Rejection, Track
from apollo_data.settings import ActivitySettings, MixingSettings, PairedSettings
from apollo_data.storage import key_of
from apollo_data.workspace.manifest import (
    Header,
    Manifest,
    is_current,
    read_manifest,
    write_manifest,
)
from apollo_data.workspace.reject_log import RejectLog

STAGE = "align"
_BLOCK_SECONDS = 30.0
_BLOCKS = 8
_LARGEST_DRIFT_SAMPLES = 100
_TURNED = -0.5
_LEAST_SIDE = 1e-5  # power of the difference signal beside that of the sum


@dataclass(frozen=True)
class PairingSettings:
    """What the alignment of pairs follows from."""

    paired: PairedSettings
    activity: ActivitySettings
    sample_rate: int


@dataclass(frozen=True)
class _Task:
    song: str
    split: str
    pair: PairedFiles


def align_pairs(
    tracks: Manifest[Track],
    manifest: Path,
    decoded: Path,
    settings: PairingSettings,
    rejects: RejectLog,
    workers: int,
    console: Console,
) -> Manifest[AlignedPair]:
    """Measure how much later each degraded side is, and write pairs.jsonl.

    Parameters
    ----------
    tracks
        The catalog; its pairs are taken.
    manifest
        Where pairs.jsonl is written; nothing is written where there never was a pair.
    decoded
        Folder for WAV files of the sides that are not WAV, FLAC or AIFF.
    settings
        What the alignment follows from.
    rejects
        Where pairs that cannot be aligned are recorded.
    workers, console
        How many processes align, and where progress is shown.

    Raises
    ------
    DataError
        In a strict run, a pair cannot be aligned.
    """
    tasks = [_Task(row.song, row.split, row.pair) for row in tracks.rows if row.pair]
    if not tasks and not manifest.exists():
        return Manifest(Header("pairs", ""), (), tracks.root)
    key = key_of(
        tracks.header.key,
        settings.paired.model_dump(mode="json"),
        settings.activity.model_dump(mode="json"),
        settings.sample_rate,
    )
    if is_current(manifest, key, tracks.root):
        rejects.check_earlier(STAGE)
        return read_manifest(manifest, "pairs", AlignedPair)
    outcomes = _align_all(tasks, tracks.root, decoded, settings, workers, console)
    rows, rejections = rejects.separate(outcomes)
    rejects.record([STAGE], rejections)
    write_manifest(manifest, "pairs", rows, key, tracks.root)
    return read_manifest(manifest, "pairs", AlignedPair)


def _align_all(
    tasks: Sequence[_Task],
    root: Path,
    decoded: Path,
    settings: PairingSettings,
    workers: int,
    console: Console,
) -> Iterator[AlignedPair | Rejection]:
    align = functools.partial(_align_or_reject, root=root, decoded=decoded, settings=settings)
    with (
        console.progress("pairs", len(tasks), "pairs") as advance,
        contextlib.closing(parallel_map(align, tasks, workers)) as outcomes,
    ):
        for outcome in outcomes:
            advance(1)
            yield outcome


def _align_or_reject(
    task: _Task, root: Path, decoded: Path, settings: PairingSettings
) -> AlignedPair | Rejection:
    for path in (task.pair.clean, task.pair.degraded):
        try:
            file = readable(path, root, decoded)
            measure(file, _stereo(file))
        except AudioError as error:
            return Rejection(path, STAGE, str(error).removeprefix(f"{root / path}: "))
    try:
        return _align(task, root, decoded, settings)
    except AudioError as error:
        return Rejection(task.pair.degraded, STAGE, str(error))


def readable(path: str, root: Path, decoded: Path) -> Path:
    """Return a file that can be read at any place: the file itself, or its decoded form.

    The decoded form is found again when songs and working folder move.

    Parameters
    ----------
    path, root
        The file, and the folder that its path is relative to.
    decoded
        Folder for decoded files.

    Raises
    ------
    AudioError
        The file is missing or cannot be decoded.
    """
    file = root / path
    if is_lossless(file):
        return file
    state = file.stat()
    out = decoded / f"{key_of(path, state.st_size, state.st_mtime_ns)[:32]}.wav"
    if not out.is_file():
        decode(file, out)
    return out


def _stereo(path: Path) -> AudioInfo:
    info = probe(path)
    if info.channels > 2:
        raise AudioError(f"{path}: has {info.channels} channels, expected 1 or 2")
    return info


def _align(task: _Task, root: Path, decoded: Path, settings: PairingSettings) -> AlignedPair:
    """Align one pair.

    Raises
    ------
    AudioError
        The two sides do not agree at any lag, or not at one lag throughout.
    """
    rate = settings.sample_rate
    clean, degraded = (readable(path, root, decoded) for path in _sides(task.pair))
    lengths = [samples_at(probe(file), rate) for file in (clean, degraded)]
    found = _best_lag(clean, degraded, min(lengths), settings)
    shared = min(lengths[0], lengths[1] - found.lag_samples) - max(0, -found.lag_samples)
    if _is_exchanged(clean, degraded, shared, found.lag_samples, rate):
        raise AudioError("has its left and right channels exchanged")
    spans = detect([clean], "pair", settings.activity)
    source = root / task.pair.degraded
    return AlignedPair(
        song=task.song,
        split=task.split,
        clean=task.pair.clean,
        degraded=task.pair.degraded,
        start_seconds=round(max(0, -found.lag_samples) / rate, 6),
        seconds=round(max(0, shared) / rate, 6),
        lag_samples=found.lag_samples,
        correlation=found.correlation,
        degraded_kbps=round(source.stat().st_size * 8e-3 / probe(degraded).seconds, 3),
        spans=spans,
    )


def _sides(pair: PairedFiles | PairClip | AlignedPair) -> tuple[str, str]:
    return pair.clean, pair.degraded


def _best_lag(clean: Path, degraded: Path, samples: int, settings: PairingSettings) -> Alignment:
    """Return the lag that the recordings agree on.

    Up to eight blocks, evenly spread, vote with their correlations, louder ones more; what
    each would have chosen alone tells whether the two recordings keep the same time.
    """
    rate = settings.sample_rate
    reach = round(settings.paired.max_lag_seconds * rate)
    votes, weights = _correlations(clean, degraded, samples, rate, reach)
    if not weights.any():
        raise AudioError("its clean side is silent")
    mean = np.average(votes, axis=0, weights=weights)
    best = int(np.argmax(np.abs(mean)))
    found = Alignment(best - reach, round(float(mean[best]), 4))
    _check_match(found, settings.paired)
    sure = np.abs(votes).max(axis=1) > abs(found.correlation) / 2
    drift = int(np.ptp(np.abs(votes[sure]).argmax(axis=1))) if sure.any() else 0
    if drift > _LARGEST_DRIFT_SAMPLES:
        raise AudioError(f"drifts against its clean side by {drift} samples")
    return found


def _correlations(
    clean: Path, degraded: Path, samples: int, rate: int, reach: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return each block's correlation at all lags, (blocks, lags), and its clean side's level."""
    block = min(samples, max(round(_BLOCK_SECONDS * rate), 8 * reach))
    count = min(_BLOCKS, max(1, samples // block))
    votes, levels = [], []
    for start in np.linspace(0, samples - block, count).astype(int).tolist():
        first = _mono(clean, start, block, rate)
        second = _mono(degraded, start, block, rate)
        votes.append(correlate(first, second, rate, reach))
        levels.append(np.sqrt(np.mean(np.square(first))))
    return np.stack(votes), np.array(levels, np.float32)


def _is_exchanged(clean: Path, degraded: Path, samples: int, lag: int, rate: int) -> bool:
    """Tell whether left and right are exchanged: the difference signal then has turned polarity."""
    if not probe(clean).channels == probe(degraded).channels == 2:
        return False
    block = min(samples, round(_BLOCK_SECONDS * rate))
    first = max(0, -lag)
    powers = np.zeros(4)
    for start in np.linspace(first, first + samples - block, _BLOCKS).astype(int).tolist():
        sides = read_sound([clean], start / rate, block, rate)
        other = read_sound([degraded], (start + lag) / rate, block, rate)
        mid, one, two = sides.sum(axis=0), sides[0] - sides[1], other[0] - other[1]
        powers += [one @ two, one @ one, two @ two, mid @ mid]
    product, clean_power, degraded_power, mid_power = powers.tolist()
    if min(clean_power, degraded_power) <= _LEAST_SIDE * mid_power:  # as good as mono
        return False
    return bool(product < _TURNED * np.sqrt(clean_power * degraded_power))


def _check_match(found: Alignment, settings: PairedSettings) -> None:
    least, reach = settings.min_correlation, settings.max_lag_seconds
    if abs(found.correlation) < least:
        raise AudioError(
            f"does not match its clean side: correlation {found.correlation:.3f} at most within "
            f"{reach:g} s, expected {least:g}"
        )
    if found.correlation < _TURNED:
        raise AudioError(f"has its polarity turned: correlation {found.correlation:.3f}")


def _mono(file: Path, start: int, samples: int, rate: int) -> Samples:
    return read_sound([file], start / rate, samples, rate).mean(axis=0)


def pair_clips(pair: AlignedPair, settings: MixingSettings) -> Iterator[PairClip]:
    """Yield the clips that a pair is cut into: one after another, where the clean side sounds."""
    seconds = settings.clip_seconds
    end = pair.start_seconds + pair.seconds
    active = frames_of_spans(pair.spans, end, 0.01)
    for number in range(int(pair.seconds / seconds + 1e-9)):
        start = round(pair.start_seconds + number * seconds, 6)
        frames = active[round(start / 0.01) : round((start + seconds) / 0.01)]
        if len(frames) and frames.mean() >= settings.min_active_share - 1e-9:
            yield PairClip(
                song=pair.song,
                clean=pair.clean,
                degraded=pair.degraded,
                start_seconds=start,
                seconds=seconds,
                lag_samples=pair.lag_samples,
                degraded_kbps=pair.degraded_kbps,
            )


def read_pair(clip: PairClip, root: Path, decoded: Path, rate: int) -> tuple[Samples, Samples]:
    """Return (clean, degraded) of a clip, (2, samples) each and in time with one another.

    Raises
    ------
    AudioError
        A side cannot be read.
    """
    clean, degraded = (readable(path, root, decoded) for path in _sides(clip))
    start, samples = round(clip.start_seconds * rate), round(clip.seconds * rate)
    later = (start + clip.lag_samples) / rate
    return (
        read_sound([clean], start / rate, samples, rate),
        read_sound([degraded], later, samples, rate),
    )
