"""What a run has left out: told in a few lines, and too much of it is an error."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from apollo_data.audio.files import files_of
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.records import Rejection, Track
from apollo_data.settings import Settings
from apollo_data.workspace.folder import WorkFolder, by_choice, refuse_rejections

Row = TypeVar("Row")

_FILE_STAGES = ("catalog", "sad", "align")
_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.]*|\([^)]*\)")


def tell_rejections(rows: Iterable[Rejection], console: Console) -> None:
    """Say what was left out and how often, most frequent first."""
    counts = Counter((row.stage, kind_of(row)) for row in rows)
    for (stage, kind), count in counts.most_common():
        console.note(f"left out by {stage}: {count} x {kind}")


def kind_of(row: Rejection) -> str:
    """Return a rejection's reason without names and numbers, so that like counts as like.

    Examples
    --------
    >>> kind_of(Rejection("a.wav", "catalog", "says 3 Hz, expected 8000 to 384000"))
    'says … Hz, expected … to …'
    """
    reason = row.reason.split(f"{row.path}: ")[-1]
    if by_choice(row):
        return f"excluded by {row.detail['excluded_by']}"
    return " ".join(_PARTICULARS.sub("…", reason).split())


def part_rejections(
    outcomes: Iterable[Row | Rejection], strict: bool
) -> tuple[list[Row], list[Rejection]]:
    """Return what is kept and what is left out; the first of the latter is an error if `strict`."""
    rows: list[Row] = []
    rejections: list[Rejection] = []
    for outcome in outcomes:
        if isinstance(outcome, Rejection):
            if strict:
                refuse_rejections([outcome])
            rejections.append(outcome)
        else:
            rows.append(outcome)
    return rows, rejections


def refuse_too_many(work: WorkFolder, tracks: Sequence[Track], settings: Settings) -> None:
    """Raise an error if too many of the songs' files were left out, other than by choice.

    Raises
    ------
    DataError
        Their share is above `max_rejected_share`.
    """
    rows = [row for row in work.read_rejects() if row.stage in _FILE_STAGES and not by_choice(row)]
    sounds = [sound for track in tracks for sound in track.sounds]
    kept = {str(file) for sound in sounds for file in files_of(Path(), sound.path, sound.sources)}
    kept |= {track.pair.degraded for track in tracks if track.pair}
    refuse_share(work, len(rows), len(kept) + len(rows), "files", settings)


def refuse_share(
    work: WorkFolder, rejected: int, total: int, what: str, settings: Settings
) -> None:
    """Raise a `DataError` if `rejected` of `total` is more than `max_rejected_share` allows."""
    if rejected > settings.max_rejected_share * total:
        raise DataError(
            f"{work.rejects}: {rejected} of {total} {what} were rejected, more than the share of "
            f"{settings.max_rejected_share:g} that max_rejected_share allows"
        )
