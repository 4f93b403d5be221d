"""Which files are audio by their names, and in which folders they lie."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

LOSSLESS_SUFFIXES = (".wav", ".flac", ".aiff", ".aif", ".aifc", ".w64", ".rf64", ".wave")
"""Those of files that can be stems, the usual ones first."""

_LOSSY_SUFFIXES = (
    *(".3g2", ".3gp", ".aac", ".ac3", ".amr", ".ape", ".asf", ".au", ".avi", ".caf", ".dsf"),
    *(".dts", ".eac3", ".flv", ".gsm", ".m2ts", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov"),
    *(".mp1", ".mp2", ".mp3", ".mp4", ".mpc", ".mpeg", ".mpg", ".mts", ".oga", ".ogg", ".ogv"),
    *(".opus", ".ra", ".rm", ".snd", ".spx", ".tak", ".ts", ".tta", ".voc", ".webm", ".wma"),
    *(".wmv", ".wv"),
)
AUDIO_SUFFIXES = (*LOSSLESS_SUFFIXES, *_LOSSY_SUFFIXES)
"""Those of all files with sound. Some other formats are lossless too, but can be no stem here."""

NATIVE_STEMS_SUFFIX = ".stem.mp4"

OnError = Callable[[OSError], None]


def is_audio(name: str) -> bool:
    """Tell whether a file's name is that of audio; files of macOS's Finder (``._x``) are not."""
    return name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith("._")


def is_lossless_name(name: str) -> bool:
    """Tell whether a file's name is that of a file that can be a stem."""
    return name.lower().endswith(LOSSLESS_SUFFIXES) and not name.startswith(".")


def audio_below(folder: Path, on_error: OnError | None = None) -> Iterator[Path]:
    """Yield the audio files in and below a folder by path; links to folders are not followed."""
    for place, folders, names in os.walk(folder, onerror=on_error):
        folders.sort()
        yield from (Path(place) / name for name in sorted(names) if is_audio(name))


def audio_named(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Return the lossless files of a folder by those of `names` that they have, in any case.

    Of two files of one name, as ``drums.wav`` and ``drums.flac``, the more usual suffix is taken.
    """
    try:
        listed = sorted(item.name for item in folder.iterdir())
    except OSError:
        return {}
    found: dict[str, Path] = {}
    for suffix in LOSSLESS_SUFFIXES:
        for item in listed:
            stem = item[: -len(suffix)].casefold()
            if item.lower().endswith(suffix) and stem in names:
                found.setdefault(stem, folder / item)
    return found
