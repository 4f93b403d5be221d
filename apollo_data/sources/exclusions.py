"""What the user, or `apollo-data check --fix`, has decided to leave out of a data set."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from apollo_data.records import Mixture, PairedFiles, Rejection, Stem, Track

FILE = "exclusions.jsonl"


class Exclusions:
    """Paths below a data set's root; what lies at or below one of them is left out."""

    def __init__(self, rows: Iterable[Rejection]) -> None:
        self._reasons = {row.path: row.reason for row in rows}

    def reason(self, path: str) -> str | None:
        """Return why a path is excluded, or None where it is not."""
        place = PurePosixPath(path)
        for part in (place, *place.parents):
            if (why := self._reasons.get(str(part))) is not None:
                return why
        return None

    def _reason_of(self, sound: Stem | Mixture) -> str | None:
        paths = [sound.path, *(f"{sound.path}/{source}" for source in sound.sources)]
        return next((why for path in paths if (why := self.reason(path)) is not None), None)

    def _reason_of_pair(self, pair: PairedFiles) -> str | None:
        reasons = (self.reason(path) for path in (pair.clean, pair.degraded))
        return next((why for why in reasons if why is not None), None)

    def apply(self, tracks: Sequence[Track]) -> tuple[list[Track], list[Rejection]]:
        """Return the tracks without what is excluded, and a row for each stem and mixture."""
        kept: list[Track] = []
        refused: list[Rejection] = []
        for track in tracks:
            stems: list[Stem] = []
            for stem in track.stems:
                if (why := self._reason_of(stem)) is None:
                    stems.append(stem)
                else:
                    refused.append(_by_choice(Rejection(stem.path, "catalog", why)))
            mixture = track.mixture
            if mixture is not None and (why := self._reason_of(mixture)) is not None:
                refused.append(_by_choice(Rejection(mixture.path, "catalog", why)))
                mixture = None
            if track.pair and (why := self._reason_of_pair(track.pair)) is not None:
                refused.append(_by_choice(Rejection(track.pair.degraded, "catalog", why)))
            elif stems or track.pair or (mixture and not track.stems):
                kept.append(dataclasses.replace(track, stems=tuple(stems), mixture=mixture))
        return kept, refused

    def mark(self, rejections: Iterable[Rejection]) -> list[Rejection]:
        """Return rejections so that those of excluded paths count as the user's choice."""
        return [row if self.reason(row.path) is None else _by_choice(row) for row in rejections]


def _by_choice(row: Rejection) -> Rejection:
    return dataclasses.replace(row, detail={**row.detail, "excluded_by": FILE})
