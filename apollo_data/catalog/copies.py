"""Files with the very same samples in two splits: the song in the easier split is left out."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from apollo_data.audio.files import files_of
from apollo_data.records import SPLITS, FileFacts, Rejection, Track
from apollo_data.sources.song import STAGE

REASON = "catalog.copies"


def without_copies(
    tracks: Iterable[Track], facts: Mapping[Path, FileFacts], root: Path
) -> tuple[list[Track], list[Rejection]]:
    """Leave out songs of which a file has the same samples as one of a song in another split.

    The song that stays is that of the test split, else that of the validation split. Files that
    are silent from end to end do not count. `apollo-data check` finds copies at another level or
    in another format too.
    """
    tracks = list(tracks)
    contents = {track.song: _contents(track, facts, root) for track in tracks}
    strictest: dict[str, Track] = {}
    for track in sorted(tracks, key=lambda track: (-SPLITS.index(track.split), track.song)):
        for content in contents[track.song]:
            strictest.setdefault(content, track)
    kept: list[Track] = []
    refused: list[Rejection] = []
    for track in tracks:
        others = (strictest[content] for content in sorted(contents[track.song]))
        other = next((item for item in others if item.split != track.split), None)
        if other is None:
            kept.append(track)
        else:
            why = f"({track.split}) has the same samples as {other.song} ({other.split})"
            refused.append(Rejection(track.song, STAGE, why, {"excluded_by": REASON}))
    return kept, refused


def _contents(track: Track, facts: Mapping[Path, FileFacts], root: Path) -> set[str]:
    files = [file for sound in track.sounds for file in files_of(root, sound.path, sound.sources)]
    if track.pair:
        files += [root / track.pair.clean, root / track.pair.degraded]
    rows = (facts[file] for file in files if file in facts)
    return {row.content for row in rows if row.content and not _is_silent(row)}


def _is_silent(row: FileFacts) -> bool:
    return row.levels is not None and row.levels.silent_share >= 1.0
