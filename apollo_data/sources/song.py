"""What every source needs to turn a song's files into a `Track`."""

import os
from collections.abc import Sequence
from pathlib import Path

from apollo_data.audio import probe
from apollo_data.errors import AudioError
from apollo_data.randomness import stable_fraction
from apollo_data.records import Mixture, Rejection, Stem

STAGE = "catalog"
AUDIO_SUFFIXES = (".wav", ".flac")


def find_audio(folder: Path, name: str) -> Path | None:
    """Return the file `name` with one of the lossless suffixes, or None."""
    for suffix in AUDIO_SUFFIXES:
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    return None


def describe_stem(stem_class: str, files: Sequence[Path], root: Path) -> Stem:
    """Probe a stem's files; it lasts as long as its shortest one.

    Raises
    ------
    AudioError
        A file is unreadable, empty or neither mono nor stereo.
    """
    infos = [probe(file) for file in files]
    for file, info in zip(files, infos, strict=True):
        if info.channels > 2:
            raise AudioError(f"{file}: has {info.channels} channels, expected 1 or 2")
    path, sources = _place(files, root)
    return Stem(
        stem_class=stem_class,
        path=path,
        sources=sources,
        seconds=round(min(info.seconds for info in infos), 6),
        sample_rate=infos[0].sample_rate,
        channels=max(info.channels for info in infos),
    )


def mixture_of(files: Sequence[Path], root: Path) -> Mixture:
    """Probe the files whose sum is the whole song; it lasts as long as the longest one."""
    path, sources = _place(files, root)
    return Mixture(path, round(max(probe(file).seconds for file in files), 6), sources)


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


def split_by_hash(song: str, valid_share: float = 0.1, test_share: float = 0.1) -> str:
    """Return a song's split from a hash of its id: stable whatever other songs there are."""
    fraction = stable_fraction(song)
    if fraction >= 1.0 - test_share:
        return "test"
    return "valid" if fraction >= 1.0 - test_share - valid_share else "train"
