"""rejects.jsonl: what was left out and why, summed up in a few lines; too many are an error."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from apollo_data.audio.files import files_of
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.records import Rejection, Track
from apollo_data.workspace.manifest import iterate_rows, read_manifest, write_manifest

Row = TypeVar("Row")

_FILE_STAGES = ("catalog", "sad", "align")
_PATH = re.compile(r"^.*\.\w{1,5}: ")
_PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|\b\d[\d.]*|\([^)]*\)")
_KINDS_SHOWN = 8


@dataclass(frozen=True)
class RejectLog:
    """The file rejects.jsonl of a run; a strict run ends at the first row."""

    path: Path
    strict: bool = False

    def read(self) -> tuple[Rejection, ...]:
        """Return all rows; none if there is no such file."""
        if not self.path.exists():
            return ()
        return read_manifest(self.path, "rejects", Rejection).rows

    def record(self, stages: Sequence[str], rejections: Iterable[Rejection]) -> None:
        """Replace the rows of these stages; the rows of other stages stay."""
        earlier: list[Rejection] = []
        if self.path.exists():
            rows = iterate_rows(self.path, "rejects", Rejection)
            earlier = [row for row in rows if row.stage not in stages]
        write_manifest(self.path, "rejects", [*earlier, *rejections], "", self.path.parent)

    def check(self, rejections: Iterable[Rejection]) -> None:
        """End a strict run if anything was left out, other than by choice.

        Raises
        ------
        DataError
            The run is strict, and there is such a row.
        """
        if not self.strict:
            return
        for row in rejections:
            if not by_choice(row):
                where = "" if row.path in row.reason else f"{row.path}: "
                raise DataError(f"{where}{row.reason} (strict: nothing may be left out)")

    def check_earlier(self, stage: str) -> None:
        """End a strict run if an earlier run has left something out at this stage."""
        if self.strict:
            self.check(row for row in self.read() if row.stage == stage)

    def separate(self, outcomes: Iterable[Row | Rejection]) -> tuple[list[Row], list[Rejection]]:
        """Return what is kept and what is left out; a strict run ends at the first rejection."""
        rows: list[Row] = []
        rejections: list[Rejection] = []
        for outcome in outcomes:
            if isinstance(outcome, Rejection):
                self.check([outcome])
                rejections.append(outcome)
            else:
                rows.append(outcome)
        return rows, rejections

    def check_files(self, tracks: Sequence[Track], max_share: float) -> None:
        """Raise an error if too many of the songs' files were left out, other than by choice.

        Raises
        ------
        DataError
            Their share is above `max_share` (`max_rejected_share` of the settings).
        """
        rows = [row for row in self.read() if row.stage in _FILE_STAGES and not by_choice(row)]
        rejected = {row.path for row in rows}
        sounds = [sound for track in tracks for sound in track.sounds]
        kept = {
            str(file) for sound in sounds for file in files_of(Path(), sound.path, sound.sources)
        }
        pairs = [track.pair for track in tracks if track.pair]
        # A pair is one item, whichever of its sides was rejected.
        kept |= {pair.degraded for pair in pairs if pair.clean not in rejected}
        self.check_share(len(rejected), len(kept | rejected), "files", max_share)

    def check_share(self, rejected: int, total: int, what: str, max_share: float) -> None:
        """Raise a `DataError` if `rejected` of `total` is more than `max_share` allows."""
        if rejected > max_share * total:
            raise DataError(
                f"{self.path}: {rejected} of {total} {what} were rejected, more than the share of "
                f"{max_share:g} that max_rejected_share allows"
            )


def by_choice(row: Rejection) -> bool:
    """Tell whether something was left out because the user wants it so."""
    return "excluded_by" in row.detail


def tell_rejections(rows: Iterable[Rejection], console: Console) -> None:
    """Print what was left out and how often, most frequent first, each with one example."""
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], Rejection] = {}
    for row in rows:
        kind = row.stage, kind_of(row)
        counts[kind] += 1
        examples.setdefault(kind, row)
    for kind, count in counts.most_common(_KINDS_SHOWN):
        console.note(f"left out by {kind[0]}: {count} x {kind[1]}{_example(examples[kind], count)}")
    if more := counts.most_common()[_KINDS_SHOWN:]:
        console.note(
            f"left out for {len(more)} other reasons: {sum(count for _, count in more)} "
            "(see rejects.jsonl)"
        )


def _example(row: Rejection, count: int) -> str:
    found = _PATH.match(row.reason)
    path = found[0].removesuffix(": ") if found else row.path
    return f" ({'' if count == 1 else 'such as '}{path})"


def kind_of(row: Rejection) -> str:
    """Return a rejection's reason without what differs from row to row: paths, names, numbers.

    Examples
    --------
    >>> kind_of(Rejection("a.wav", "catalog", "says 3 Hz, expected 8000 to 384000"))
    'says … Hz, expected … to …'
    >>> kind_of(Rejection("shards/train/shard-0.h5", "build-h5", "raw/7/bass.wav: no such file"))
    'no such file'
    """
    if by_choice(row):
        return f"excluded by {row.detail['excluded_by']}"
    reason = _PATH.sub("", row.reason.split(f"{row.path}: ")[-1])
    return " ".join(_PARTICULARS.sub("…", reason).split())


def why_nothing(rows: Sequence[Rejection], log: RejectLog) -> str:
    """Say in one line why everything was left out: the most frequent reasons, and where to look."""
    counts = Counter(kind_of(row) for row in rows)
    kind, count = counts.most_common(1)[0]
    row = next(item for item in rows if kind_of(item) == kind)
    others = f", and {len(rows) - count} for other reasons" if len(rows) > count else ""
    return f"{count} x {row.reason} ({row.path}){others}; all are in {log.path}"
