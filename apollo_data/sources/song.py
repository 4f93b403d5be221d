"""What every source needs to turn a song's files into a `Track`."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from apollo_data.audio.scan_file import scan_file
from apollo_data.errors import AudioError
from apollo_data.file_names import path_text
from apollo_data.records import FileFacts, Mixture, Rejection, Stem
from apollo_data.settings import CatalogSettings
from apollo_data.sources.audio_names import audio_below, is_lossless_name

STAGE = "catalog"

Look = Callable[[Path], FileFacts]
"""Returns what is known of a file, or raises an `AudioError` where it cannot be used."""


def look_with(known: dict[Path, FileFacts], root: Path, settings: CatalogSettings) -> Look:
    """Return a `Look` that takes what is known already and looks at the other files itself."""

    def look(path: Path) -> FileFacts:
        facts = known.get(path) or scan_file(path, root, settings)
        if facts.problem:
            raise AudioError(f"{path}: {facts.problem}")
        return facts

    return look


def audio_files(folder: Path) -> list[Path]:
    """Return the files in and below a song's folder that can be stems by their names, sorted."""
    return [file for file in audio_below(folder) if is_lossless_name(file.name)]


def describe_stem(stem_class: str, files: Sequence[Path], root: Path, look: Look) -> Stem:
    """Look at a stem's files; it lasts as long as the longest one, the others are silent then.

    Raises
    ------
    AudioError
        A file cannot be used.
    """
    facts = [look(file) for file in files]
    path, sources = _place(files, root)
    return Stem(
        stem_class=stem_class,
        path=path,
        sources=sources,
        seconds=round(max(item.seconds for item in facts), 6),
        sample_rate=facts[0].sample_rate,
        channels=max(item.channels for item in facts),
    )


def mixture_of(files: Sequence[Path], root: Path, look: Look) -> Mixture:
    """Look at the files whose sum is the whole song; it lasts as long as the longest one."""
    path, sources = _place(files, root)
    return Mixture(path, round(max(look(file).seconds for file in files), 6), sources)


def _place(files: Sequence[Path], root: Path) -> tuple[str, tuple[str, ...]]:
    """Name one file by its path, several by the folder that holds them all and what is below."""
    if len(files) == 1:
        return relative_to(files[0], root), ()
    folder = Path(os.path.commonpath([file.parent for file in files]))
    return relative_to(folder, root), tuple(file.relative_to(folder).as_posix() for file in files)


def relative_to(path: Path, root: Path) -> str:
    """Return the path below `root` in the form manifests use."""
    return path.relative_to(root).as_posix()


def reject(path: Path, root: Path, reason: str) -> Rejection:
    """Return the row for what the catalog leaves out; the reason does not repeat the path."""
    return Rejection(path_text(path, root), STAGE, reason.removeprefix(f"{path}: "))


def reject_unusable(files: Iterable[Path], root: Path, look: Look) -> list[Rejection]:
    """Return a row for each file that cannot be used."""
    rows: list[Rejection] = []
    for file in files:
        try:
            look(file)
        except AudioError as error:
            rows.append(reject(file, root, str(error)))
    return rows


def reject_unnamed(folder: Path, root: Path, named: Iterable[Path], reason: str) -> list[Rejection]:
    """Return a row for each audio file of a song that is not used, and each closed folder."""
    known = set(named)
    rows: list[Rejection] = []

    def note(error: OSError) -> None:
        rows.append(unreadable_folder(Path(os.fsdecode(error.filename)), root, error))

    for file in audio_below(folder, note):
        if file not in known:
            lossy = not is_lossless_name(file.name)
            why = "is not WAV, FLAC or AIFF by its name; stems are lossless" if lossy else reason
            rows.append(reject(file, root, why))
    return rows


def unreadable_folder(folder: Path, root: Path, error: OSError) -> Rejection:
    """Return the row for a folder that cannot be opened."""
    return reject(folder, root, f"{UNREADABLE} ({error.strerror})")


UNREADABLE = "is a folder that cannot be opened"
DANGLING = "is a link to something that is not there"
