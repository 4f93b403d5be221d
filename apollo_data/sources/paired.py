"""The user's own pairs: `clean/` and `degraded/` with equal names, or a `pairs.csv`.

The CSV has the columns `degraded` and `clean`, paths relative to itself, and may have `split`;
further columns are not used. In the two folders, a first folder called `train`, `valid` or
`test` names the split. Else a folder above the set may name it. Without a name, a hash of the
clean side's path decides, so that all degraded forms of one recording are in the same split.
"""

from collections.abc import Iterator
from pathlib import Path

from apollo_data.file_names import normal_form, path_text
from apollo_data.records import PairedFiles, Rejection, Track
from apollo_data.sources.artists import split_by_hash
from apollo_data.sources.pairs_table import SIDES, Pair, read_table, table_in
from apollo_data.sources.song import reject, unreadable_folder
from apollo_data.sources.split_folders import folder_split, split_named
from apollo_data.sources.walk import files_below

NAME = "paired"
# Whatever else lies beside the clean files may be sound: ffmpeg decides.
_NO_SOUND = (
    *(".bmp", ".cfg", ".csv", ".cue", ".db", ".doc", ".docx", ".gif", ".html", ".ini", ".jpeg"),
    *(".jpg", ".json", ".jsonl", ".lock", ".log", ".lrc", ".m3u", ".m3u8", ".md", ".md5", ".nfo"),
    *(".pdf", ".pls", ".png", ".py", ".rtf", ".sfv", ".sh", ".srt", ".tiff", ".toml", ".txt"),
    *(".url", ".vtt", ".webp", ".xls", ".xlsx", ".xml", ".xspf", ".yaml", ".yml", ".zip"),
)


def is_set(folder: Path) -> bool:
    """Tell whether a folder holds pairs."""
    return table_in(folder) is not None or all((folder / side).is_dir() for side in SIDES)


def find_pairs(folder: Path, root: Path) -> Iterator[Pair | Rejection]:
    """Yield what a set of pairs names, or why a file in it is not taken."""
    table = table_in(folder)
    yield from read_table(table, root) if table else _from_folders(folder, root)


def read_set(folder: Path, root: Path) -> tuple[list[Track], list[Rejection]]:
    """Read a folder of pairs; what has no partner or cannot be used is rejected."""
    tracks: list[Track] = []
    rejections: list[Rejection] = []
    split_of: dict[Path, str] = {}
    above = folder_split(folder / SIDES[0], root)
    for item in find_pairs(folder, root):
        if isinstance(item, Rejection):
            rejections.append(item)
            continue
        name = normal_form(path_text(item.clean, folder))
        split = item.split or above or split_by_hash(f"{NAME}/{name}")
        first = split_of.setdefault(item.clean, split)
        if first != split:
            why = f"its clean side is in {first} already and cannot be in {split} too"
            rejections.append(reject(item.degraded, root, why))
            continue
        pair = PairedFiles(path_text(item.clean, root), path_text(item.degraded, root))
        song = f"{NAME}/{normal_form(path_text(item.degraded, folder))}"
        tracks.append(Track(song, NAME, split, item.degraded.stem, "", (), pair=pair))
    return tracks, rejections


def _from_folders(folder: Path, root: Path) -> Iterator[Pair | Rejection]:
    rejections: list[Rejection] = []
    clean, degraded = (_by_name(folder / side, root, rejections) for side in SIDES)
    yield from rejections
    for side, own, others in (("degraded", clean, degraded), ("clean", degraded, clean)):
        for name in sorted(own.keys() - others.keys()):
            for path in own[name]:
                yield reject(path, root, f"has no {side} partner of the same name")
    for name in sorted(clean.keys() & degraded.keys()):
        first, *more = clean[name]
        for path in more:
            yield reject(path, root, f"is a second clean side beside {first.name}")
        parts = Path(name).parts
        split = split_named(parts[0]) if len(parts) > 1 else None
        for path in degraded[name]:
            yield Pair(first, path, split)


def _by_name(folder: Path, root: Path, rejections: list[Rejection]) -> dict[str, list[Path]]:
    """Return the files below a folder by their relative paths without suffix, in one form."""
    files: dict[str, list[Path]] = {}
    for item in files_below(folder):
        if isinstance(item, OSError):
            rejections.append(unreadable_folder(Path(str(item.filename)), root, item))
        elif not item.name.startswith(".") and item.suffix.lower() not in _NO_SOUND:
            name = item.relative_to(folder).with_suffix("").as_posix()
            files.setdefault(normal_form(name), []).append(item)
    return files
