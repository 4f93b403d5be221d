"""Which restored file belongs to which pair, by sound, where the names do not tell."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.signal

from apollo_model.evaluation.pairs import Pair, read_pair
from apollo_model.evaluation.systems.delivery import fitted, read_result
from apollo_model.evaluation.systems.system import SystemFailure

Array = npt.NDArray[Any]

MOST_FILES = 2000
"""With more files or pairs than this, names have to tell."""

_FRAMES = 60
_BANDS = 6
_LIKE = 0.9
_MARGIN = 0.8  # of error power: 1 dB between the best and the second best coding


def match_by_sound(files: Sequence[Path], pairs: Sequence[Pair]) -> dict[str, Path]:
    """Return the file of each pair for which one sounds the same, by the pair's identity.

    The loudness over time and frequency tells the clip, the smallest difference of the
    waveforms tells which of its codings was restored. What is not clear is left out.
    """
    if not files or not pairs or max(len(files), len(pairs)) > MOST_FILES:
        return {}
    prints = np.stack([_fingerprint(read_pair(pair)[0]) for pair in pairs])
    claims: dict[int, list[tuple[float, Path]]] = defaultdict(list)
    for path in files:
        try:
            audio, rate = read_result(path)
        except SystemFailure:
            continue
        if audio.shape[1] < _FRAMES:
            continue
        likeness = prints @ _fingerprint(audio)
        alike = np.flatnonzero(likeness > max(_LIKE, likeness.max() - 0.05))
        if (best := _closest(audio, rate, [(n, pairs[n]) for n in alike.tolist()])) is not None:
            claims[best[0]].append((best[1], path))
    return {pairs[number].identity: min(found)[1] for number, found in claims.items()}


def _closest(
    audio: Array, rate: int, candidates: Sequence[tuple[int, Pair]]
) -> tuple[int, float] | None:
    """Return the number of the pair whose coded clip is nearest, and its error."""
    errors = []
    for number, pair in candidates:
        coded, _clean = read_pair(pair)
        try:
            moved = fitted(audio, rate, coded, rate, align=True).audio
        except SystemFailure:
            return None
        power = float(np.square(coded).sum()) or 1.0
        errors.append((float(np.square(moved - coded).sum()) / power, number))
    errors.sort()
    if not errors or (len(errors) > 1 and errors[0][0] > _MARGIN * errors[1][0]):
        return None
    return errors[0][1], errors[0][0]


def _fingerprint(audio: Array) -> Array:
    """Return the loudness in 60 stretches and 6 low bands, as a vector of length 1."""
    mono = audio.mean(0)
    length = max(64, len(mono) // _FRAMES)
    _, _, spectrum = scipy.signal.stft(mono, nperseg=length, noverlap=0, boundary=None)
    power = np.abs(spectrum[:, :_FRAMES]) ** 2
    edges = np.unique(np.geomspace(1, max(len(power) // 6, _BANDS + 2), _BANDS + 1).astype(int))
    bands = np.stack([power[a:b].sum(0) for a, b in itertools.pairwise(edges)])
    bands = np.pad(bands, ((0, _BANDS - len(bands)), (0, _FRAMES - bands.shape[1])))
    levels = np.log(bands + 1e-4 * bands.max() + 1e-20)
    levels -= levels.mean()
    return (levels / (np.linalg.norm(levels) or 1.0)).ravel()
