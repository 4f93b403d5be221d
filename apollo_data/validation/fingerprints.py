"""Audio fingerprints, to find the same recording under another name or at another level.

Pairs of spectral peaks (their two frequencies and the time between them) are hashed; two
recordings of the same music share many hashes at one constant distance in time, other
music does not (after A. Wang, "An industrial-strength audio search algorithm", ISMIR 2003).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy

from apollo_data.audio.files import Samples, read_sound

_RATE = 11025
_WINDOW, _HOP = 1024, 512
_BLOCK_FRAMES = 1024  # 48 s
_NEIGHBOURHOOD = (25, 17)  # bins, frames: about 20 peaks a second
_FLOOR_DB = -70.0  # below a block's loudest bin there are no peaks
_PARTNERS = 4
_MAX_STEP, _MAX_FRAMES = 63, 63
_KEEP_ONE_IN = 4
_COMMON = 500  # a hash at more places than this is not used
_TIME_BITS = 24


@dataclass(frozen=True)
class Fingerprint:
    """Hashes and the frames at which they occur, (hashes,) each."""

    hashes: npt.NDArray[np.int64]
    frames: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Double:
    """Two entries that hold the same recording, the second one later by `shift_seconds`."""

    first: int
    second: int
    share: float
    shift_seconds: float


def fingerprint(files: Sequence[Path], seconds: float) -> Fingerprint:
    """Return the fingerprint of the sum of `files`, reading them in blocks.

    Raises
    ------
    AudioError
        A file cannot be read.
    """
    bins, frames = [], []
    for number, block in enumerate(_blocks(files, seconds)):
        peak_bins, peak_frames = _peaks(block)
        bins.append(peak_bins)
        frames.append(peak_frames + number * _BLOCK_FRAMES)
    return _hash_pairs(np.concatenate(bins), np.concatenate(frames))


def _blocks(files: Sequence[Path], seconds: float) -> Iterator[Samples]:
    """Yield mono blocks; each brings the samples that its last frames reach into."""
    step = _BLOCK_FRAMES * _HOP
    for start in range(0, max(1, round(seconds * _RATE)), step):
        yield read_sound(files, start / _RATE, step + _WINDOW - _HOP, _RATE).mean(axis=0)


def _peaks(block: Samples) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return bins and frames of the spectrogram's local maxima, in the order of time."""
    _, _, spectrum = scipy.signal.stft(
        block, window="hann", nperseg=_WINDOW, noverlap=_WINDOW - _HOP, boundary=None, padded=False
    )
    level = 20.0 * np.log10(np.abs(spectrum) + 1e-9)
    highest = scipy.ndimage.maximum_filter(level, _NEIGHBOURHOOD, mode="constant", cval=-np.inf)
    is_peak = (level == highest) & (level > max(level.max() + _FLOOR_DB, -100.0))
    frames, bins = np.nonzero(is_peak.T)
    return bins.astype(np.int64), frames.astype(np.int64)


def _hash_pairs(bins: npt.NDArray[np.int64], frames: npt.NDArray[np.int64]) -> Fingerprint:
    """Pair each peak with the next ones near it; keep the same quarter of all hashes anywhere."""
    hashes, times = [], []
    # Peaks come in the order of time, so a partner is never more than a few dozen places on.
    found = np.zeros(len(bins), np.int64)
    for ahead in range(1, min(64, len(bins))):
        step, later = bins[ahead:] - bins[:-ahead], frames[ahead:] - frames[:-ahead]
        near = (np.abs(step) <= _MAX_STEP) & (later >= 1) & (later <= _MAX_FRAMES)
        near &= found[:-ahead] < _PARTNERS
        place = np.flatnonzero(near)
        found[place] += 1
        hashes.append((bins[place] << 13) | ((step[place] + _MAX_STEP) << 6) | later[place])
        times.append(frames[place])
    if not hashes:
        return Fingerprint(np.zeros(0, np.int64), np.zeros(0, np.int64))
    joined, when = np.concatenate(hashes), np.concatenate(times)
    kept = (joined * 2654435761 >> 7) % _KEEP_ONE_IN == 0
    return Fingerprint(joined[kept], when[kept])


def find_doubles(prints: Sequence[Fingerprint], min_share: float = 0.05) -> list[Double]:
    """Return the pairs of entries that share at least `min_share` of the shorter one's hashes.

    Parameters
    ----------
    prints
        One fingerprint an entry.
    min_share
        Share of hashes that agree at one distance in time. Measured on the demo songs: two
        different ones share at most 0.008, a song and its copy at a tenth of the level, later,
        in noise or as MP3 of 24 kbit/s 0.41 and more, a song and 6 s of it 0.27.
    """
    hashes = np.concatenate([item.hashes for item in prints] or [np.zeros(0, np.int64)])
    frames = np.concatenate([item.frames for item in prints] or [np.zeros(0, np.int64)])
    owner = np.repeat(np.arange(len(prints)), [len(item.hashes) for item in prints])
    order = np.argsort(hashes, kind="stable")
    hashes, frames, owner = hashes[order], frames[order], owner[order]
    return [
        double
        for number, item in enumerate(prints)
        for double in _doubles_of(number, item, prints, (hashes, frames, owner), min_share)
    ]


def _doubles_of(
    number: int,
    item: Fingerprint,
    prints: Sequence[Fingerprint],
    index: tuple[npt.NDArray[np.int64], ...],
    min_share: float,
) -> Iterator[Double]:
    """Yield the doubles of entry `number` among the entries after it."""
    hashes, frames, owner = index
    first = np.searchsorted(hashes, item.hashes, "left")
    counts = np.searchsorted(hashes, item.hashes, "right") - first
    counts[counts > _COMMON] = 0
    own = np.repeat(np.arange(len(counts)), counts)
    places = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    other = owner[places]
    shift = frames[places] - item.frames[own] + (1 << (_TIME_BITS - 1))
    later = other > number
    pairs, votes = np.unique((other[later] << _TIME_BITS) | shift[later], return_counts=True)
    # A shift that is no whole number of frames gives its votes to two neighbours.
    together = votes + np.where(np.diff(pairs, append=-1) == 1, np.append(votes[1:], 0), 0)
    for entry in np.unique(pairs >> _TIME_BITS):
        mine = np.flatnonzero(pairs >> _TIME_BITS == entry)
        best = mine[np.argmax(together[mine])]
        share = together[best] / max(1, min(len(item.hashes), len(prints[entry].hashes)))
        if share >= min_share:
            distance = (pairs[best] & ((1 << _TIME_BITS) - 1)) - (1 << (_TIME_BITS - 1))
            yield Double(number, int(entry), float(share), float(distance) * _HOP / _RATE)
