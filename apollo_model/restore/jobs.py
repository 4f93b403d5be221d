"""Which files are restored, and where each result goes."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apollo_data.errors import DataError

FORMATS = ("wav", "flac", "mp3", "opus")
_AUDIO_SUFFIXES = re.compile(
    r"\.(3g2|3gp|aac|ac3|aifc?|aiff|amr|ape|au|caf|dsf|eac3|flac|flv|m4a|m4b|mka|mkv|mov|mp2|mp3"
    r"|mp4|mpc|mpe?g|oga|ogg|opus|rf64|snd|tak|tta|voc|w64|wave?|webm|wma|wv)",
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
        How many files of the folders are no audio by their names.
    out_folder
        The folder of all results; None where the result is one named file.
    """

    jobs: tuple[RestoreJob, ...]
    ignored: int
    out_folder: Path | None


def find_jobs(inputs: Sequence[Path], out: Path, file_format: str) -> JobList:
    """List the audio files of `inputs`, folders with all that is in them.

    `out` names a file if it ends like one and there is one input file; else it is a folder, in
    which the tree of an input folder is mirrored (under the folder's name if there are several
    inputs). Files that would get the same name keep the suffix they had: ``a.mp3.wav``.

    Raises
    ------
    DataError
        There is nothing to do, or two files would be written to one place.
    """
    suffix = out.suffix.lower().removeprefix(".")
    alone = len(inputs) == 1 and not inputs[0].is_dir()
    if alone and suffix in FORMATS and not out.is_dir():
        if file_format != suffix:
            raise DataError(f"{out}: ends with .{suffix}, but the format is {file_format}")
        return JobList((RestoreJob(inputs[0], out),), 0, None)
    if out.is_file():
        raise DataError(f"{out}: is a file, expected a folder for the results")
    ignored = 0
    places: dict[Path, Path] = {}  # source to its place below `out`
    for path in inputs:
        if not path.is_dir():
            places[path] = Path(path.name)
            continue
        top = Path() if len(inputs) == 1 else Path(path.resolve().name)
        for file in sorted(_files_below(path, out)):
            if _AUDIO_SUFFIXES.fullmatch(file.suffix):
                places[file] = top / file.relative_to(path)
            else:
                ignored += 1
    if not places:
        raise DataError(f"{inputs[0]}: holds no audio files")
    return JobList(tuple(_named(places, out, file_format)), ignored, out)


def _files_below(folder: Path, out: Path) -> Iterator[Path]:
    """Yield a folder's files, none that hide and none of the results."""
    results = out.resolve()
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and (here / name).resolve() != results
        ]
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
