"""Means with 95 % intervals by bootstrap over songs.

Clips of one song are alike, and the six bitrates of one target more so: counting each pair as a
draw of its own would make intervals far too narrow. So songs are drawn, with replacement. A mix
of several songs belongs, in each draw, to one of them, chosen at random: clips that share a song
then vary together as much as they share, and a clip's own error counts in full.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DRAWS = 1000
_SEED = 20240913
_BLOCK = 50
_QUANTILES = (2.5, 97.5)
_FEWEST_SONGS = 2


class SongBootstrap:
    """Draws of songs, the same for all means of an evaluation.

    Parameters
    ----------
    targets
        Of each pair, its target: pairs of one target always go together.
    songs
        Of each pair, the songs that it is made of; without any, the target stands for itself.
    """

    def __init__(
        self, targets: Sequence[Hashable], songs: Sequence[Sequence[str]], draws: int = DRAWS
    ) -> None:
        numbers = {target: number for number, target in enumerate(dict.fromkeys(targets))}
        self._target = np.array([numbers[target] for target in targets], int)
        own: list[Sequence[str]] = [()] * len(numbers)
        for number, names in zip(self._target, songs, strict=True):
            own[number] = names or (f"\0{number}",)
        places = {name: n for n, name in enumerate(sorted({s for names in own for s in names}))}
        self._songs = [np.array([places[name] for name in names]) for names in own]
        self._weights = self._draw(len(places), draws)

    def _draw(self, songs: int, draws: int) -> npt.NDArray[np.uint8]:
        """Return how often each target counts in each draw, (draws, targets)."""
        rng = np.random.default_rng(_SEED)
        lengths = np.array([len(own) for own in self._songs])
        table = np.zeros((len(lengths), lengths.max(initial=1)), int)
        for number, own in enumerate(self._songs):
            table[number, : len(own)] = own
        everyone = np.arange(len(lengths))
        weights = np.empty((draws, len(lengths)), np.uint8)
        for draw in range(draws):
            counts = np.bincount(rng.integers(songs, size=songs), minlength=songs)
            member = table[everyone, (rng.random(len(lengths)) * lengths).astype(int)]
            weights[draw] = np.minimum(counts[member], 255)
        return weights

    def intervals(self, columns: Array) -> tuple[Array, Array, Array]:
        """Return mean, count and 95 % interval of each column of scores.

        Parameters
        ----------
        columns
            (pairs, columns), NaN where there is no score.

        Returns
        -------
        tuple
            (columns,), (columns,) and (columns, 2); NaN where there is no score, and no
            interval where fewer than two songs have one.
        """
        there = np.isfinite(columns)
        counts = there.sum(0)
        totals = np.where(there, columns, 0.0)
        shape = (len(self._songs), columns.shape[1])
        sums, numbers = np.zeros(shape), np.zeros(shape)
        np.add.at(sums, self._target, totals)
        np.add.at(numbers, self._target, there.astype(float))
        with np.errstate(invalid="ignore", divide="ignore"):
            means = totals.sum(0) / np.where(counts, counts, np.nan)
            drawn = np.concatenate(
                [
                    (block @ sums) / (block @ numbers)
                    for start in range(0, len(self._weights), _BLOCK)
                    for block in [self._weights[start : start + _BLOCK].astype(float)]
                ]
            )
        limits = np.full((columns.shape[1], 2), np.nan)
        for column in range(columns.shape[1]):
            found = drawn[:, column]
            if self._songs_of(numbers[:, column]) >= _FEWEST_SONGS:
                limits[column] = np.percentile(found[np.isfinite(found)], _QUANTILES)
        return means, counts, limits

    def _songs_of(self, numbers: Array) -> int:
        used = [self._songs[target] for target in np.flatnonzero(numbers)]
        return len(np.unique(np.concatenate(used))) if used else 0
