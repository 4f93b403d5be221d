"""The split that a song's folders name: `train`, `valid` or `test`."""

import os
from collections.abc import Sequence
from pathlib import Path

_NAMES = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "test": "test"}
_STRICTEST = ("test", "valid", "train")


def folder_split(folder: Path, root: Path) -> str | None:
    """Return the split that the nearest such folder above a song names, or None.

    The song's place counts as the user wrote it and as links resolve it: a song that lies in a
    folder `test` is a test song by whichever way it is reached. Where the two differ, `test` goes
    before `valid`, and `valid` before `train`. Folders above the root do not count, except that
    of a root that is itself the song.
    """
    written = _split_in((root.resolve().name, *folder.relative_to(root).parts[:-1]))
    real_root, real = root.resolve(), folder.resolve()
    if real == real_root:
        return _split_in((real.parent.name,))
    common = os.path.commonpath([real, real_root.parent])
    resolved = _split_in(real.relative_to(common).parts[:-1])
    found = {written, resolved}
    return next((split for split in _STRICTEST if split in found), None)


def _split_in(names: Sequence[str]) -> str | None:
    known = (_NAMES.get(name.casefold()) for name in reversed(names))
    return next((split for split in known if split), None)


def split_named(name: str) -> str | None:
    """Return the split that a folder's name or a table's cell means, or None.

    Examples
    --------
    >>> split_named("Train"), split_named(" validation "), split_named("songs")
    ('train', 'valid', None)
    """
    return _NAMES.get(name.strip().casefold())
