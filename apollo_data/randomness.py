"""One random generator per item, so that a draw depends on nothing but (seed, stage, index)."""

import hashlib

import numpy as np


def generator(seed: int, stage: str, index: int = 0) -> np.random.Generator:
    """Return the generator of one item.

    The 128-bit Philox key is a hash of the three arguments: neighbouring seeds and
    indices give unrelated streams, and the same arguments the same stream on every
    machine, in every order and in every process.

    Examples
    --------
    >>> float(generator(0, "mix/train", 7).random()) == float(generator(0, "mix/train", 7).random())
    True
    """
    digest = hashlib.blake2b(f"{seed}\0{stage}\0{index}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def stable_fraction(name: str) -> float:
    """Map a name to a number in [0, 1) that never changes: the basis of splits by hash.

    Examples
    --------
    >>> 0.0 <= stable_fraction("moisesdb/example") < 1.0
    True
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64
