"""What other programs deliver: read, brought to the clip's form, and checked for shifts.

A result is scored as it is delivered. What is found wrong with it becomes a remark.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import soundfile
import soxr

from apollo_data.audio.files import decode, is_lossless
from apollo_data.errors import AudioError
from apollo_data.workspace.temporary_folders import scratch_folder
from apollo_model.evaluation.systems.system import Restored, SystemFailure

Array = npt.NDArray[Any]

SCRATCH = "apollo-eval-"
"""How the names of temporary folders begin."""

SEARCH_SECONDS = 1.0
"""Shifts of up to this much are found."""

_RANGE = 1e-6
_CLEAR = 0.1
_SWAPPED = 0.5


def read_result(path: Path) -> tuple[Array, int]:
    """Return (channels, samples) of any audio file, and its sample rate.

    Raises
    ------
    SystemFailure
        It cannot be read.
    """
    try:
        if is_lossless(path):
            audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        else:
            with scratch_folder(Path(tempfile.gettempdir()), SCRATCH) as folder:
                decoded = folder / "decoded.wav"
                decode(path, decoded)
                audio, rate = soundfile.read(decoded, dtype="float32", always_2d=True)
    except (AudioError, soundfile.LibsndfileError, OSError) as error:
        raise SystemFailure(str(error).replace("\n", " ")) from None
    return audio.T, int(rate)


def fitted(audio: Array, rate: int, coded: Array, sample_rate: int, align: bool) -> Restored:
    """Bring a result to the form of the coded clip, and tell what was wrong with it.

    Parameters
    ----------
    audio, rate
        The result, (channels, samples), and its sample rate.
    coded, sample_rate
        The clip that was to be restored, (2, samples).
    align
        Move a shifted result back to its place.

    Raises
    ------
    SystemFailure
        It has neither one nor two channels, or no samples.
    """
    remarks = []
    if audio.shape[0] not in (1, 2) or not audio.shape[1]:
        raise SystemFailure(f"the result has {audio.shape[0]} channels, {audio.shape[1]} samples")
    if rate != sample_rate:
        remarks.append(f"at {rate} Hz, resampled")
        audio = soxr.resample(audio.T, rate, sample_rate).T
    if audio.shape[0] == 1:
        remarks.append("mono")
        audio = np.repeat(audio, 2, 0)
    missing = coded.shape[1] - audio.shape[1]
    if missing:
        remarks.append(f"{abs(missing)} samples too {'short' if missing > 0 else 'long'}")
    if not np.isfinite(audio).all():
        return Restored(_of_length(audio, coded.shape[1]), tuple(remarks))
    lag = lag_of(audio.mean(0), coded.mean(0), round(SEARCH_SECONDS * sample_rate))
    if lag:
        remarks.append(f"{'late' if lag > 0 else 'early'} by {abs(lag)} samples")
    moved = _shifted(audio, -lag)
    if _is_swapped(_of_length(moved, coded.shape[1]), coded):
        remarks.append("left and right swapped")
    restored = _of_length(moved if align else audio, coded.shape[1])
    return Restored(restored.astype(np.float32), tuple(remarks), lag)


def lag_of(result: Array, coded: Array, most: int) -> int:
    """Return by how many samples a result is late; 0 where no other lag is clear.

    The phases alone are correlated, in the band that the codec left: sharp to one sample
    even where most of the power lies in the bass.
    """
    points = scipy.fft.next_fast_len(len(result) + len(coded), real=True)
    theirs, ours = scipy.fft.rfft(result, points), scipy.fft.rfft(coded, points)
    power = np.abs(ours) ** 2
    cross = theirs * ours.conj()
    size = np.abs(cross)
    used = (power > _RANGE * power.max()) & (size > 0)
    if not used.any():
        return 0
    phases = np.where(used, cross / np.where(size > 0, size, 1.0), 0.0)
    # The peak of a pure delay is 1.
    peaks = scipy.fft.irfft(phases, points) * points / (2 * used.sum())
    most = min(most, len(peaks) // 2 - 1)
    lags = np.concatenate((peaks[-most:], peaks[: most + 1]))
    best = int(np.argmax(np.abs(lags))) - most
    clear = abs(lags[best + most]) > max(_CLEAR, 1.5 * abs(lags[most]))
    return best if clear else 0


def _shifted(audio: Array, samples: int) -> Array:
    moved = np.zeros_like(audio)
    if samples >= 0:
        moved[:, samples:] = audio[:, : audio.shape[1] - samples]
    else:
        moved[:, :samples] = audio[:, -samples:]
    return moved


def _is_swapped(audio: Array, coded: Array) -> bool:
    straight, crossed = (float(np.square(audio - side).sum()) for side in (coded, coded[::-1]))
    return crossed < _SWAPPED * straight


def _of_length(audio: Array, samples: int) -> Array:
    audio = audio[:, :samples]
    return np.pad(audio, ((0, 0), (0, samples - audio.shape[1])))
