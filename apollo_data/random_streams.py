"""Random generators: one for each item, so a draw depends only on (seed, stage, index)."""

import hashlib

import numpy as np

from apollo_data.file_names import to_bytes


def generator(seed: int, stage: str, index: int = 0) -> np.random.Generator:
    """Return the generator of one item.

    The 128-bit Philox key is a hash of the three arguments. Neighbouring seeds and
    indices give independent streams. The same arguments give the same stream on every
    machine, in every order and in every process.

    Examples
    --------
    >>> float(generator(0, "mix/train", 7).random()) == float(generator(0, "mix/train", 7).random())
    True
    """
    key = int.from_bytes(_digest(seed, stage, index), "little")
    return np.random.Generator(np.random.Philox(key=key))


class GeneratorSeries:
    """The generators of one stage's items, for a million draws in a row.

    Each item's stream is that of `generator`. A new Philox takes entropy from the system
    although its key is given, which takes longer than the draws. Here one Philox is reset.

    Examples
    --------
    >>> series = GeneratorSeries(0, "mix/train")
    >>> float(series.at(7).random()) == float(generator(0, "mix/train", 7).random())
    True
    """

    def __init__(self, seed: int, stage: str) -> None:
        self._seed = seed
        self._stage = stage
        self._philox = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._philox)
        self._fresh = self._philox.state

    def at(self, index: int) -> np.random.Generator:
        """Return the generator of item `index`; it is valid until the next call."""
        digest = _digest(self._seed, self._stage, index)
        self._fresh["state"]["key"] = np.frombuffer(digest, "<u8")
        self._philox.state = self._fresh
        return self._generator


def _digest(seed: int, stage: str, index: int) -> bytes:
    return hashlib.blake2b(to_bytes(f"{seed}\0{stage}\0{index}"), digest_size=16).digest()


def stable_fraction(name: str) -> float:
    """Map a name to a fixed number in [0, 1), for splits by hash.

    Examples
    --------
    >>> 0.0 <= stable_fraction("moisesdb/example") < 1.0
    True
    """
    digest = hashlib.sha256(to_bytes(name)).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64
