"""Audio that no layout takes: what lies where, and what to do about it."""

from collections.abc import Callable, Iterator
from pathlib import Path

from apollo_data.records import Rejection
from apollo_data.sources import moisesdb
from apollo_data.sources.audio_names import (
    NATIVE_STEMS_SUFFIX,
    audio_below,
    is_audio,
    is_lossless_name,
)
from apollo_data.sources.song import DANGLING, reject
from apollo_data.sources.walk import Place

_NAMES_SHOWN = 3
_LAYOUTS = (
    "expected mixture, drums, bass, other or vocals (.wav, .flac, .aiff), MoisesDB's data.json, "
    "or pairs"
)


def reject_loose(place: Place, root: Path, is_taken: Callable[[Path], bool]) -> Iterator[Rejection]:
    """Yield a row for a folder that is no song and holds audio, and for what in it is closed.

    Parameters
    ----------
    place
        The folder.
    root
        The folder that the rows' paths are relative to.
    is_taken
        Tells which files a table of pairs names.
    """
    for name in place.dangling:
        target = (place.path / name).readlink()
        yield reject(place.path / name, root, f"{DANGLING} ({target})")
    for name in place.hidden:
        if count := sum(1 for _ in audio_below(place.path / name)):
            why = f"holds {count} audio files, but its name begins with a dot"
            yield reject(place.path / name, root, why)
    files = [
        name
        for name in place.files
        if is_audio(name) and name not in place.dangling and not is_taken(place.path / name)
    ]
    for name in files:
        if name.lower().endswith(NATIVE_STEMS_SUFFIX):
            yield reject(place.path / name, root, _native_stems(name))
    files = [name for name in files if not name.lower().endswith(NATIVE_STEMS_SUFFIX)]
    if files:
        yield reject(place.path, root, _no_layout(files))


def reject_without_description(place: Place, root: Path) -> Rejection | None:
    """Return the row for a song in MoisesDB's layout whose data.json is missing, else None."""
    if moisesdb.lacks_description(place.path):
        why = "has folders of stems as MoisesDB does, but no data.json that tells of them"
        return reject(place.path, root, why)
    return None


def _no_layout(files: list[str]) -> str:
    names = ", ".join(files[:_NAMES_SHOWN]) + (", ..." if len(files) > _NAMES_SHOWN else "")
    lossy = not any(map(is_lossless_name, files))
    why = "none of them lossless, as stems must be" if lossy else _LAYOUTS
    return f"holds {len(files)} audio files ({names}) in no known layout: {why}"


def _native_stems(name: str) -> str:
    parts = ("mixture", "drums", "bass", "other", "vocals")
    maps = " ".join(f"-map 0:a:{number} {part}.wav" for number, part in enumerate(parts))
    return (
        "is a .stem.mp4 with five lossy streams (MUSDB18; MUSDB18-HQ has the same songs lossless); "
        f'to take it all the same: mkdir SONG && cd SONG && ffmpeg -i "../{name}" {maps}'
    )
