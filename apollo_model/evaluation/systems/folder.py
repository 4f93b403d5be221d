"""A folder of files that some other program restored, matched to the pairs by name or by sound."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from apollo_data.errors import DataError
from apollo_data.storage import key_of, size_and_time
from apollo_model.evaluation.pairs import Pair
from apollo_model.evaluation.systems.delivery import fitted, read_result
from apollo_model.evaluation.systems.matching import match_by_sound
from apollo_model.evaluation.systems.system import Restored, System, SystemFailure

Array = npt.NDArray[Any]

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".w64")

_PAIR_NAME = re.compile(r"(?<!\d)\d{5,}_[A-Za-z0-9.-]+?(?:_\d+(?:\.\d+)?k)?(?![A-Za-z0-9])")


class FolderSystem(System):
    """Restored files, each named like the coded clip that `apollo-data export` writes.

    A name may have more before or after it, or be that of the file's folder. Files without
    such a name are matched by their sound.

    Parameters
    ----------
    name
        As the tables have it.
    folder
        Where the files are, at any depth.
    pairs
        The pairs that are to be scored.
    align
        Move shifted results back to their place.

    Raises
    ------
    DataError
        There are no audio files, or none belongs to a pair.
    """

    kind = "folder"

    def __init__(self, name: str, folder: Path, pairs: Sequence[Pair], align: bool = False) -> None:
        super().__init__(name)
        self.folder, self._align = folder, align
        files = sorted(
            path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        if not files:
            raise DataError(f"{folder}: holds no audio files; expected restored test clips")
        self._files, left = _by_name(files, folder, pairs)
        missing = [pair for pair in pairs if pair.identity not in self._files]
        by_sound = match_by_sound(left, missing)
        self._files |= by_sound
        self.matched_by_sound = len(by_sound)
        self.unmatched = len(left) - len(by_sound)
        self._renamed = frozenset(by_sound)
        if not self._files:
            raise DataError(
                f"{folder}: none of its {len(files)} files is one of the {len(pairs)} test clips;"
                f" expected names such as {pairs[0].name}.wav"
            )

    @property
    def key(self) -> str:
        """The files' names, sizes and times."""
        states = {pair: (str(path), *size_and_time(path)) for pair, path in self._files.items()}
        return key_of(self.kind, states, self._align)

    def task(self, pair: Pair) -> System:
        """Return the one file that belongs to a pair."""
        renamed = pair.identity in self._renamed
        return _OneFile(self.name, self._files.get(pair.identity), renamed, self._align)

    def restore(self, coded: Array, sample_rate: int, pair: Pair) -> Restored:
        """Read the file that belongs to a pair."""
        return self.task(pair).restore(coded, sample_rate, pair)


class _OneFile(System):
    """The file of one pair, if there is one."""

    def __init__(self, name: str, path: Path | None, renamed: bool, align: bool) -> None:
        super().__init__(name)
        self._path, self._renamed, self._align = path, renamed, align

    @property
    def key(self) -> str:
        """Its path."""
        return str(self._path)

    def restore(self, coded: Array, sample_rate: int, pair: Pair) -> Restored:
        """Read the file."""
        del pair
        if self._path is None:
            raise SystemFailure("there is no file for this pair")
        audio, rate = read_result(self._path)
        result = fitted(audio, rate, coded, sample_rate, self._align)
        if not self._renamed:
            return result
        return Restored(result.audio, (*result.remarks, "renamed, found by its sound"), result.lag)


def _by_name(
    files: Sequence[Path], folder: Path, pairs: Sequence[Pair]
) -> tuple[dict[str, Path], list[Path]]:
    """Return the file of each pair that one is named after, and the files left over.

    Of two files for one pair the better named is taken: whose whole name it is.
    """
    names = {pair.name: pair.identity for pair in pairs}
    found: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    left = []
    for path in files:
        inner = path.relative_to(folder)
        if path.stem in names:
            found[names[path.stem]].append((0, path))
        elif inner.parent.name in names:
            found[names[inner.parent.name]].append((1, path))
        elif (inside := _PAIR_NAME.search(path.stem)) and inside[0] in names:
            found[names[inside[0]]].append((2, path))
        elif not (inside and _is_other_pair(inside[0])):
            left.append(path)
    return {pair: min(places)[1] for pair, places in found.items()}, left


def _is_other_pair(name: str) -> bool:
    """Tell whether a name is that of a pair that is not scored now: with a bitrate at its end."""
    return bool(re.search(r"_\d+(\.\d+)?k$", name))
