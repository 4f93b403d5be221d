"""Look at one audio file from header to last sample: is it whole, and how loud is it."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from apollo_data.audio.files import LOSSLESS_BEGINNINGS, AudioInfo, Samples, probe
from apollo_data.errors import AudioError
from apollo_data.records import FileFacts, Levels
from apollo_data.settings import CatalogSettings
from apollo_data.storage import sha256_file

_BEGINNINGS = (*LOSSLESS_BEGINNINGS, b"ID3")
_LOSSLESS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC")
_SAMPLE_RATES = (8000, 384_000)
_BLOCK_SECONDS = 10
_FRAMES_PER_SECOND = 100
_FULL_SCALE = 32767.0 / 32768.0
_SILENT_POWER = 1e-7  # -70 dBFS
_ABSURD_PEAK = 100.0  # +40 dB: integer samples in a file of floats


def scan_file(path: Path, root: Path, settings: CatalogSettings) -> FileFacts:
    """Return what there is to know about a file; what is wrong with it stands in `problem`.

    Parameters
    ----------
    path
        A WAV, RF64, W64, AIFF or FLAC file below `root`, mono or stereo.
    root
        The folder that the row's path is relative to.
    settings
        Whether to read all samples, and whether to compute the SHA-256.
    """
    name = path.relative_to(root).as_posix()
    try:
        state = path.stat()
    except OSError as error:
        return FileFacts(name, 0, 0, problem="no such file" if not path.exists() else str(error))
    row = FileFacts(name, state.st_size, state.st_mtime_ns)
    try:
        info = usable(path)
        levels = measure(path, info) if settings.measure else None
        digest = sha256_file(path) if settings.sha256 else None
    except (AudioError, OSError) as error:
        return dataclasses.replace(row, problem=str(error).removeprefix(f"{path}: "))
    return dataclasses.replace(
        row,
        format=f"{info.container} {info.encoding}",
        sample_rate=info.sample_rate,
        channels=info.channels,
        seconds=info.seconds,
        levels=levels,
        sha256=digest,
    )


def usable(path: Path) -> AudioInfo:
    """Return what a file's header says; an `AudioError` tells why it is no stem."""
    if path.is_file() and (first := _first_bytes(path)) and not first.startswith(_BEGINNINGS):
        raise AudioError(f"{path}: is no WAV, FLAC or AIFF file: it begins with {first!r}")
    info = probe(path)
    if info.container not in _LOSSLESS:
        raise AudioError(
            f"{path}: is {info.container} {info.encoding}; stems are lossless: WAV, FLAC or AIFF"
        )
    if info.channels > 2:
        raise AudioError(f"{path}: has {info.channels} channels, expected 1 or 2")
    lowest, highest = _SAMPLE_RATES
    if not lowest <= info.sample_rate <= highest:
        raise AudioError(f"{path}: says {info.sample_rate} Hz, expected {lowest} to {highest}")
    return info


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as source:
        return source.read(8)


def measure(path: Path, info: AudioInfo) -> Levels:
    """Listen to a whole file, block by block.

    Raises
    ------
    AudioError
        A sample is NaN, infinite or absurdly large, or the file ends before its header says.
    """
    frames = clipped = silent = counted = 0
    peak = power = 0.0
    total = np.zeros(info.channels)
    for block in _blocks(path, info):
        highest = float(np.maximum(block.max(), -block.min()))  # NaN where there is one
        if not math.isfinite(highest):
            raise AudioError(f"{path}: holds NaN or infinite samples")
        peak = max(peak, highest)
        frames += len(block)
        if highest >= _FULL_SCALE:
            clipped += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE))
        total += np.ones(len(block), np.float32) @ block
        powers = _frame_powers(block, info)
        power += float(np.vdot(block, block))
        silent += int(np.count_nonzero(powers < _SILENT_POWER))
        counted += len(powers)
    if frames != info.frames:
        raise AudioError(f"{path}: ends after {frames} of the {info.frames} frames it promises")
    if peak > _ABSURD_PEAK:
        raise AudioError(f"{path}: peaks at {peak:g} times full scale; are its samples integers?")
    samples = frames * info.channels
    return Levels(
        peak=round(peak, 6),
        rms_dbfs=round(10.0 * math.log10(max(power / samples, 1e-20)), 2),
        clipped_share=round(clipped / samples, 8),
        dc_offset=round(float(np.abs(total / frames).max()), 6),
        silent_share=round(silent / counted, 4) if counted else 0.0,
    )


def _blocks(path: Path, info: AudioInfo) -> Iterator[Samples]:
    """Yield (frames, channels) blocks up to the end of the file."""
    size = _BLOCK_SECONDS * info.sample_rate
    try:
        with soundfile.SoundFile(str(path)) as source:
            while len(block := source.read(size, dtype="float32", always_2d=True)):
                yield block
    except (soundfile.LibsndfileError, OSError):
        raise AudioError(f"{path}: cannot be read to its end (its samples are damaged)") from None


def _frame_powers(block: Samples, info: AudioInfo) -> Samples:
    """Return the mean square of each whole frame of 10 ms."""
    frame = info.sample_rate // _FRAMES_PER_SECOND
    whole = block[: len(block) // frame * frame].reshape(-1, frame * info.channels)
    return np.einsum("fs,fs->f", whole, whole) / np.float32(frame * info.channels)
