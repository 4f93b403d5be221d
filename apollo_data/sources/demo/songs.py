"""Synthesised songs: all 11 stem classes in both data sets' layouts, with the true activity.

They stand in for MUSDB18-HQ and MoisesDB wherever those cannot be downloaded, and they know
what no recording can tell: when each stem truly sounds. Everything follows from (seed, layout,
song index, seconds); a song does not depend on how many others are written beside it.
"""

import json
from collections.abc import Callable
from pathlib import Path

import joblib

from apollo_data.errors import DataError, SettingsError
from apollo_data.sources.demo.composition import SongId
from apollo_data.sources.demo.layouts import ACTIVITY_FILE, is_whole, write_song
from apollo_data.sources.demo.names import MOISESDB, MUSDB18HQ, SongName, name_songs
from apollo_data.storage import folder_lock, key_of, remove_partials, write_text

__all__ = ["ACTIVITY_FILE", "LONGEST_SECONDS", "SHORTEST_SECONDS", "read_truth", "write_demo"]

SHORTEST_SECONDS, LONGEST_SECONDS = 6.0, 600.0

_VERSION = 2
_ARGUMENTS_FILE = "demo.json"


def write_demo(
    out: Path,
    songs: int,
    seconds: float,
    seed: int,
    workers: int = 1,
    report: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write synthesised songs below `out`, 44.1 kHz, stereo, 16 bit.

    The first half of them, rounded up, goes to `musdb18hq/{train,test}/{Artist - Title}/`, the
    others to `moisesdb/moisesdb_v0.1/{uuid}/`. Songs that are already whole are left alone, so
    that an interrupted call is finished by repeating it.

    Parameters
    ----------
    out : Path
        Folder for both data sets; it must not hold a demo made with other arguments.
    songs : int
        Number of songs.
    seconds : float
        Length of each song, 6 to 600 s.
    seed : int
        Songs of another seed are other songs.
    workers : int
        Processes that share the work; the files do not depend on it.
    report : callable, optional
        Called with the song's name after each song.

    Returns
    -------
    list of Path
        The songs' folders.

    Raises
    ------
    SettingsError
        If `songs` or `seconds` is out of range.
    DataError
        If `out` holds a demo made with other arguments.
    """
    _check(songs, seconds)
    out, seconds = Path(out), float(seconds)
    with folder_lock(out):
        _claim(out, {"seed": seed, "songs": songs, "seconds": seconds, "version": _VERSION})
        remove_partials(out)
        planned = _plan(songs, seed)
        written = joblib.Parallel(n_jobs=workers, return_as="generator")(
            joblib.delayed(_make_song)(out, who, name, seconds) for who, name in planned
        )
        folders = []
        for (_, name), folder in zip(planned, written, strict=True):
            folders.append(folder)
            if report:
                report(f"{name.artist} - {name.title}")
    return folders


def read_truth(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return each stem's true spans, (start, end) in seconds, of the demo song in `folder`."""
    path = Path(folder) / ACTIVITY_FILE
    try:
        stems = json.loads(path.read_text(encoding="utf-8"))["stems"]
        return {
            stem: [(float(start), float(end)) for start, end in spans]
            for stem, spans in stems.items()
        }
    except OSError as error:
        raise DataError(f"{path}: expected a demo song's activity ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: not a demo song's activity; write the demo again") from None


def _check(songs: int, seconds: float) -> None:
    if songs < 1:
        raise SettingsError(f"songs: expected at least 1, found {songs}")
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        expected = f"expected {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g}"
        raise SettingsError(f"seconds: {expected}, found {seconds:g}")


def _claim(out: Path, arguments: dict[str, float]) -> None:
    """State what `out` is made from, or refuse where it was made from something else."""
    path = out / _ARGUMENTS_FILE
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = "unreadable arguments"
        if found != arguments:
            shown = (
                ", ".join(f"{k} {v}" for k, v in found.items())
                if isinstance(found, dict)
                else found
            )
            raise DataError(
                f"{out}: holds demo songs made with {shown}; choose another folder or delete it"
            )
    else:
        write_text(path, json.dumps(arguments) + "\n")


def _plan(songs: int, seed: int) -> list[tuple[SongId, SongName]]:
    plan = []
    for layout, count in ((MUSDB18HQ, (songs + 1) // 2), (MOISESDB, songs // 2)):
        for index, name in enumerate(name_songs(layout, count, seed)):
            plan.append((SongId(layout, seed, index), name))
    return plan


def _make_song(out: Path, who: SongId, name: SongName, seconds: float) -> Path:
    folder = out / name.folder
    key = key_of(_VERSION, who.layout, who.seed, who.index, seconds)
    if not is_whole(folder, key):
        write_song(folder, who, name, seconds, key)
    return folder
