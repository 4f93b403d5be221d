"""Walk through folders: links followed once, nothing closed or dangling passed in silence."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Place:
    """A folder with what is in it.

    `folders` are the names that the walk enters next; whoever walks may take some out.
    `hidden` are folders that it does not enter, `dangling` links to nothing.
    """

    path: Path
    folders: list[str]
    files: list[str]
    hidden: tuple[str, ...]
    dangling: tuple[str, ...]


def walk(root: Path) -> Iterator[Place | OSError]:
    """Yield every folder below `root` by name, or why one cannot be opened."""
    seen: set[str] = set()
    errors: list[OSError] = []
    for name, folders, files in os.walk(root, followlinks=True, onerror=errors.append):
        yield from errors
        errors.clear()
        real = os.path.realpath(name)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        hidden = tuple(sorted(item for item in folders if item.startswith(".")))
        dangling = tuple(item for item in sorted(files) if _is_dangling(Path(name, item)))
        folders[:] = sorted(item for item in folders if not item.startswith("."))
        place = Place(Path(name), folders, sorted(files), hidden, dangling)
        yield place
    yield from errors


def _is_dangling(path: Path) -> bool:
    try:
        return path.is_symlink() and not path.exists()
    except OSError:  # a link to itself
        return True


def files_below(folder: Path) -> Iterator[Path | OSError]:
    """Yield every file below a folder by path, or why a folder below it cannot be opened."""
    for place in walk(folder):
        if isinstance(place, OSError):
            yield place
        else:
            yield from (place.path / name for name in place.files)
