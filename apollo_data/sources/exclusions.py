"""Apply exclusions: what the user, or `apollo-data check --fix`, wants to leave out."""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from apollo_data.file_names import normal_form
from apollo_data.records import Mixture, PairedFiles, Rejection, Stem, Track

FILE = "exclusions.jsonl"


class Exclusions:
    """Paths below a data set's root, and ids of songs, that are to be left out.

    A path leaves out what lies at or below it. ``./`` before and ``/`` after it do not count, nor
    does the form of Unicode; an absolute path is fine.

    Parameters
    ----------
    rows
        The rows of exclusions.jsonl.
    root
        The folder of songs, for absolute paths.
    """

    def __init__(self, rows: Iterable[Rejection], root: Path | None = None) -> None:
        self._rows = {_plain(row.path, root): row for row in rows}
        self._used: set[str] = set()

    def reason(self, path: str) -> str | None:
        """Return why a path or a song's id is excluded, or None where it is not."""
        place = PurePosixPath(normal_form(path))
        for part in (place, *place.parents):
            if str(part) != "." and (row := self._rows.get(str(part))) is not None:
                self._used.add(str(part))
                return row.reason
        return None

    def unused(self, root: Path) -> list[str]:
        """Return the rows, as they are written, that left out nothing and name nothing below root.

        Call it after `apply` and `mark`.
        """
        return [
            row.path
            for path, row in self._rows.items()
            if path not in self._used and not os.path.lexists(root / path)
        ]

    def _reasons(self, sound: Stem | Mixture) -> Iterator[str | None]:
        yield self.reason(sound.path)
        for source in sound.sources:
            yield self.reason(f"{sound.path}/{source}")

    def _reason_of(self, track: Track, sound: Stem | Mixture | PairedFiles) -> str | None:
        if isinstance(sound, PairedFiles):
            reasons = [self.reason(path) for path in (track.song, sound.clean, sound.degraded)]
        else:
            reasons = [self.reason(track.song), *self._reasons(sound)]
        return next((why for why in reasons if why is not None), None)

    def apply(self, tracks: Sequence[Track]) -> tuple[list[Track], list[Rejection]]:
        """Return the tracks without what is excluded, and a row for each stem and mixture."""
        kept: list[Track] = []
        refused: list[Rejection] = []
        for track in tracks:
            stems: list[Stem] = []
            for stem in track.stems:
                if (why := self._reason_of(track, stem)) is None:
                    stems.append(stem)
                else:
                    refused.append(_by_choice(Rejection(stem.path, "catalog", why)))
            mixture = track.mixture
            if mixture is not None and (why := self._reason_of(track, mixture)) is not None:
                refused.append(_by_choice(Rejection(mixture.path, "catalog", why)))
                mixture = None
            if track.pair and (why := self._reason_of(track, track.pair)) is not None:
                refused.append(_by_choice(Rejection(track.pair.degraded, "catalog", why)))
            elif stems or track.pair or (mixture and not track.stems):
                kept.append(dataclasses.replace(track, stems=tuple(stems), mixture=mixture))
        return kept, refused

    def mark(self, rejections: Iterable[Rejection]) -> list[Rejection]:
        """Return rejections so that those of excluded paths count as the user's choice."""
        return [row if self.reason(row.path) is None else _by_choice(row) for row in rejections]


def _plain(path: str, root: Path | None) -> str:
    if Path(path).is_absolute() and root is not None:
        real, real_root = os.path.realpath(path), os.path.realpath(root)
        inside = os.path.commonpath([real, real_root]) == real_root
        path = os.path.relpath(real, real_root) if inside else path
    return normal_form(os.path.normpath(path))


def _by_choice(row: Rejection) -> Rejection:
    return dataclasses.replace(row, detail={**row.detail, "excluded_by": FILE})
