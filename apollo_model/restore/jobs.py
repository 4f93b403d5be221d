"""Which files are restored, and where each result goes."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apollo_data.errors import DataError
from apollo_model.restore.formats import FORMATS, format_of_name

_AUDIO_SUFFIXES = re.compile(
    r"\.(3g2|3gp|aac|ac3|aifc?|aiff|amr|ape|au|caf|dsf|eac3|flac|flv|m2ts|m4a|m4b|mka|mkv|mov|mp2"
    r"|mp3|mp4|mpc|mpe?g|mts|oga|ogg|opus|rf64|snd|tak|tta|voc|w64|wave?|webm|wma|wv)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class RestoreJob:
    """One file and the place of its result."""

    source: Path
    out: Path


@dataclass(frozen=True)
class JobList:
    """All that a call asks for.

    Attributes
    ----------
    ignored
        How many files of the folders do not have the suffix of an audio file.
    out_folder
        The folder of all results; None where the result is one named file.
    unreadable
        Folders that cannot be listed, and why.
    """

    jobs: tuple[RestoreJob, ...]
    ignored: int
    out_folder: Path | None
    unreadable: tuple[tuple[Path, str], ...] = ()


@dataclass
class _Found:
    """Audio files by their place below the output folder, and what was left out."""

    places: dict[Path, Path] = field(default_factory=dict)
    ignored: int = 0
    unreadable: list[tuple[Path, str]] = field(default_factory=list)


def named_format(inputs: Sequence[Path], out: Path) -> str | None:
    """Return the format that `out` asks for as the name of a file; None if it is a folder.

    It names a file if it has the suffix of an audio file, there is one input file, and no
    folder of that name.

    Raises
    ------
    DataError
        The name is that of an audio file which cannot be written, or of which there would be
        several.
    """
    if _is_folder(out) or not _AUDIO_SUFFIXES.fullmatch(out.suffix):
        return None
    if len(inputs) != 1 or _is_folder(inputs[0]):
        raise DataError(
            f"{out}: is named like an audio file, but several results would go there; name a folder"
        )
    if (form := format_of_name(out)) is None:
        suffixes = ", ".join(f".{name}" for name in FORMATS)
        raise DataError(f"{out}: {out.suffix} cannot be written; use one of {suffixes}")
    return form


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, for one
        return False


def find_jobs(inputs: Sequence[Path], out: Path, file_format: str) -> JobList:
    """List the audio files of `inputs`, and of folders all audio files in them.

    `out` is a file where `named_format` says so. Else it is a folder that mirrors the tree of
    an input folder (below that folder's name if there are several inputs). Files that would
    get the same name keep their suffix: ``a.mp3.wav``.

    Raises
    ------
    DataError
        There is nothing to do, or two files would be written to one place.
    """
    if (form := named_format(inputs, out)) is not None:
        if file_format != form:
            raise DataError(f"{out}: ends with {out.suffix}, but the format is {file_format}")
        return JobList((RestoreJob(inputs[0], out),), 0, None)
    if os.path.lexists(out) and not _is_folder(out):
        raise DataError(f"{out}: is no folder, expected a folder for the results")
    found = _Found()
    for path in inputs:
        if _is_folder(path):
            top = Path() if len(inputs) == 1 else Path(path.resolve().name)
            _add_folder(found, path, top, out)
        else:
            found.places[path] = Path(path.name)
    if not found.places and not found.unreadable:
        raise DataError(f"{inputs[0]}: holds no audio files")
    jobs = tuple(_named(found.places, out, file_format))
    return JobList(jobs, found.ignored, out, tuple(found.unreadable))


def _add_folder(found: _Found, folder: Path, top: Path, out: Path) -> None:
    for file in sorted(_files_below(folder, out, found.unreadable)):
        if _AUDIO_SUFFIXES.fullmatch(file.suffix):
            found.places[file] = top / file.relative_to(folder)
        else:
            found.ignored += 1


def _files_below(folder: Path, out: Path, unreadable: list[tuple[Path, str]]) -> Iterator[Path]:
    """Yield a folder's files, also through links, without hidden ones and results."""

    def refused(error: OSError) -> None:
        unreadable.append((Path(os.fsdecode(error.filename)), error.strerror or str(error)))

    seen = {Path(os.path.realpath(out)), Path(os.path.realpath(folder))}
    for place, folders, names in os.walk(folder, onerror=refused, followlinks=True):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in list(folders):
            if (real := Path(os.path.realpath(here / name))) in seen:  # a loop, or the results
                folders.remove(name)
            seen.add(real)
        yield from (here / name for name in names if not name.startswith("."))


def _named(places: dict[Path, Path], out: Path, file_format: str) -> Iterable[RestoreJob]:
    plain = Counter(place.with_suffix("") for place in places.values())
    taken: dict[Path, Path] = {}
    for source, place in places.items():
        twice = plain[place.with_suffix("")] > 1
        name = f"{place.name if twice else place.stem}.{file_format}"
        final = out / place.with_name(name)
        if final in taken:
            raise DataError(
                f"{final}: both {taken[final]} and {source} would be written there;"
                " restore them one after the other, into folders of their own"
            )
        taken[final] = source
        yield RestoreJob(source, final)
