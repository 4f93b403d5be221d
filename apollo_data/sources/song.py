"""What every source needs to turn a song's files into a `Track`."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from apollo_data.audio.file_scan import scan_file
from apollo_data.errors import AudioError
from apollo_data.records import FileFacts, Mixture, Rejection, Stem
from apollo_data.settings import CatalogSettings

STAGE = "catalog"
AUDIO_SUFFIXES = (".wav", ".flac")

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
    """Return all files below a song's folder that look like audio by their names, sorted."""
    found = (
        Path(place) / name
        for place, _folders, names in os.walk(folder)
        for name in names
        if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")
    )
    return sorted(found)


def find_audio(folder: Path, name: str) -> Path | None:
    """Return the file `name` with one of the lossless suffixes, or None."""
    for suffix in AUDIO_SUFFIXES:
        if os.path.lexists(path := folder / f"{name}{suffix}"):
            return path
    return None


def describe_stem(stem_class: str, files: Sequence[Path], root: Path, look: Look) -> Stem:
    """Look at a stem's files; it lasts as long as its shortest one.

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
        seconds=round(min(item.seconds for item in facts), 6),
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
    return Rejection(relative_to(path, root), STAGE, reason.removeprefix(f"{path}: "))


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
    """Return a row for each audio file of a song that its layout has no use for."""
    known = set(named)
    return [reject(file, root, reason) for file in audio_files(folder) if file not in known]
