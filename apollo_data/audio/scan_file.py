"""The scan of one audio file, from its header to its last sample: is it whole, how loud is it."""

import dataclasses
import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from apollo_data.audio.audible import Highpass
from apollo_data.audio.files import LOSSLESS_BEGINNINGS, AudioInfo, Samples, probe
from apollo_data.audio.spectrum_end import SpectrumEnd
from apollo_data.audio.streamed import open_sound
from apollo_data.errors import AudioError
from apollo_data.file_names import path_text
from apollo_data.records import FileFacts, Levels
from apollo_data.settings import CatalogSettings
from apollo_data.storage import sha256_file

_BEGINNINGS = (*LOSSLESS_BEGINNINGS, b"ID3")
_LOSSLESS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC")
# The coding counts, not the container: a WAV file may hold ADPCM, mu-law, GSM or MP3.
_LOSSLESS_CODINGS = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
_SAMPLE_RATES = (8000, 384_000)
_BLOCK_SECONDS = 10
_FRAMES_PER_SECOND = 100
_FULL_SCALE = 32767.0 / 32768.0
_SILENT_POWER = 1e-7  # -70 dBFS
_ABSURD_PEAK = 100.0  # +40 dB: integer samples in a file of floats
_DIGEST_BYTES = 16


def scan_file(path: Path, root: Path, settings: CatalogSettings) -> FileFacts:
    """Return the facts about a file; `problem` says why it cannot be used.

    Parameters
    ----------
    path
        A WAV, RF64, W64, AIFF or FLAC file below `root`, mono or stereo.
    root
        The folder that the row's path is relative to.
    settings
        Whether to read all samples, and whether to compute the SHA-256.
    """
    name = path_text(path, root)
    try:
        state = path.stat()
    except OSError as error:
        return FileFacts(name, 0, 0, problem=f"cannot be read ({error.strerror})")
    row = FileFacts(name, state.st_size, state.st_mtime_ns)
    try:
        info = usable(path)
        levels, content = measure(path, info) if settings.measure else (None, None)
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
        content=content,
        sha256=digest,
    )


def digest_file(path: Path, root: Path) -> FileFacts:
    """Return size, time and a digest of a file of any format: a side of the user's own pairs."""
    name = path_text(path, root)
    try:
        state = path.stat()
        if not path.is_file():
            return FileFacts(name, 0, 0, problem="is no plain file")
        content = sha256_file(path)[: 2 * _DIGEST_BYTES]
    except OSError as error:
        return FileFacts(name, 0, 0, problem=f"cannot be read ({error.strerror})")
    return FileFacts(name, state.st_size, state.st_mtime_ns, content=content)


def usable(path: Path) -> AudioInfo:
    """Return what a file's header says; an `AudioError` tells why it is no stem."""
    if path.is_file() and (first := _first_bytes(path)) and not first.startswith(_BEGINNINGS):
        raise AudioError(f"{path}: is no WAV, FLAC or AIFF file: it begins with {first!r}")
    info = probe(path)
    if info.container not in _LOSSLESS or info.encoding not in _LOSSLESS_CODINGS:
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


def measure(path: Path, info: AudioInfo) -> tuple[Levels, str]:
    """Read a whole file, block by block; return its levels and a digest of its samples.

    All sums are in a fixed order, so that the result does not depend on the number of processes
    or threads. RMS and silence are those of what can be heard: without offset, above 20 Hz.

    Raises
    ------
    AudioError
        A sample is NaN, infinite or absurdly large, or the file ends before its header says.
    """
    frames = clipped = silent = counted = 0
    peak = power = 0.0
    total = np.zeros(info.channels)
    highpass, spectrum = Highpass(info.sample_rate), SpectrumEnd(info.sample_rate)
    digest = hashlib.blake2b(
        f"{info.sample_rate} {info.channels} ".encode(), digest_size=_DIGEST_BYTES
    )
    for block in _blocks(path, info):
        highest = float(np.maximum(block.max(), -block.min()))  # NaN where there is one
        if not math.isfinite(highest):
            raise AudioError(f"{path}: holds NaN or infinite samples")
        peak = max(peak, highest)
        frames += len(block)
        if highest >= _FULL_SCALE:
            clipped += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE))
        total += np.sum(block, axis=0, dtype=np.float64)
        digest.update(block.tobytes())
        spectrum.add(block)
        heard = highpass(block.T).T
        powers = _frame_powers(heard, info)
        power += float(np.sum(np.square(heard), dtype=np.float64))
        silent += int(np.count_nonzero(powers < _SILENT_POWER))
        counted += len(powers)
    if frames != info.frames:
        raise AudioError(f"{path}: ends after {frames} of the {info.frames} frames it promises")
    if peak > _ABSURD_PEAK:
        raise AudioError(f"{path}: peaks at {peak:g} times full scale; are its samples integers?")
    samples = frames * info.channels
    levels = Levels(
        peak=round(peak, 6),
        rms_dbfs=round(10.0 * math.log10(max(power / samples, 1e-20)), 2),
        clipped_share=round(clipped / samples, 8),
        dc_offset=round(float(np.abs(total / frames).max()), 6),
        silent_share=round(silent / counted, 4) if counted else float(power < _SILENT_POWER),
        cut_hertz=spectrum.hertz(),
    )
    return levels, digest.hexdigest()


def _blocks(path: Path, info: AudioInfo) -> Iterator[Samples]:
    """Yield (frames, channels) blocks up to the end of the file."""
    size = _BLOCK_SECONDS * info.sample_rate
    try:
        with open_sound(path) as source:
            while len(block := source.read(size, dtype="float32", always_2d=True)):
                yield block
    except (soundfile.LibsndfileError, OSError):
        raise AudioError(f"{path}: cannot be read to its end (its samples are damaged)") from None


def _frame_powers(block: Samples, info: AudioInfo) -> Samples:
    """Return the mean square of each whole frame of 10 ms."""
    frame = info.sample_rate // _FRAMES_PER_SECOND
    whole = block[: len(block) // frame * frame].reshape(-1, frame * info.channels)
    return np.sum(np.square(whole), axis=1) / np.float32(frame * info.channels)
