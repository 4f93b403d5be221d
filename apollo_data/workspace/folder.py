"""The working folder of a pipeline: where each manifest and the shards are."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from apollo_data.errors import DataError
from apollo_data.records import Rejection
from apollo_data.storage import folder_lock, remove_partials
from apollo_data.workspace.manifest import iterate_rows, read_manifest, write_manifest


@dataclass(frozen=True)
class WorkFolder:
    """Paths of a pipeline's files; `at` gives them their usual names.

    Attributes
    ----------
    path
        The folder itself.
    raw
        Songs that the pipeline fetched or made itself.
    tracks, activity, mixes
        The manifests of the stages up to the plan of all clips.
    rejects
        What was left out, where and why.
    exclusions
        What is to be left out by choice; see `apollo_data.sources.exclusions`.
    pairs, decoded
        The manifest of the user's own pairs, and what had to be decoded of them.
    shards
        The folder with one folder a split.
    shard_list
        The manifest of finished shards.
    """

    path: Path
    raw: Path
    tracks: Path
    activity: Path
    mixes: Path
    rejects: Path
    exclusions: Path
    pairs: Path
    decoded: Path
    shards: Path
    shard_list: Path

    @classmethod
    def at(cls, path: Path) -> "WorkFolder":
        """Return the working folder `path` with the usual names in it."""
        return cls(
            path=path,
            raw=path / "raw",
            tracks=path / "tracks.jsonl",
            activity=path / "activity.jsonl",
            mixes=path / "mixes.jsonl",
            rejects=path / "rejects.jsonl",
            exclusions=path / "exclusions.jsonl",
            pairs=path / "pairs.jsonl",
            decoded=path / "decoded",
            shards=path / "shards",
            shard_list=path / "shards.jsonl",
        )

    @classmethod
    def of(cls, source: Path, out: Path | None, manifest: str) -> "WorkFolder":
        """Return the folder that a command on `source` works in.

        Parameters
        ----------
        source
            Songs, a working folder, or a manifest in one.
        out
            Where to write instead: another working folder or, with the suffix .jsonl, the
            file that takes the place of `manifest`.
        manifest
            Name of the attribute that `out` may replace.
        """
        if out is not None and out.suffix != ".jsonl":
            return cls.at(out)
        if source.is_file():
            work = cls.at(source.parent)
        elif (source / "tracks.jsonl").is_file():
            work = cls.at(source)
        else:
            work = cls.at(Path("data") / source.resolve().name)
        if out is None:
            return work
        folder = work if (source.is_file() or work.path == source) else cls.at(out.parent)
        return dataclasses.replace(
            folder, **{manifest: out, "rejects": out.parent / "rejects.jsonl"}
        )

    @property
    def activity_part(self) -> Path:
        """What a detection that is not at its end has found.

        It is in the folder that is held, whose leftovers are cleared, also where `activity` is not.
        """
        return self.path / self.activity.with_suffix(".part.jsonl").name

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the folder alone; what killed runs left beside the manifests is cleared away.

        Raises
        ------
        BusyError
            Another process is at work in it.
        """
        with folder_lock(self.path):
            for place in (self.path, self.decoded):
                remove_partials(place, below=False)
            yield

    def record_rejects(self, stages: Sequence[str], rejections: Iterable[Rejection]) -> None:
        """Replace these stages' rows in rejects.jsonl; the rows of other stages stay."""
        earlier: list[Rejection] = []
        if self.rejects.exists():
            rows = iterate_rows(self.rejects, "rejects", Rejection)
            earlier = [row for row in rows if row.stage not in stages]
        write_manifest(self.rejects, "rejects", [*earlier, *rejections], "", self.path)

    def read_exclusions(self) -> tuple[Rejection, ...]:
        """Return all rows of exclusions.jsonl; none if there is no such file."""
        if not self.exclusions.exists():
            return ()
        return read_manifest(self.exclusions, "exclusions", Rejection).rows

    def read_rejects(self) -> tuple[Rejection, ...]:
        """Return all rows of rejects.jsonl; none if there is no such file."""
        if not self.rejects.exists():
            return ()
        return read_manifest(self.rejects, "rejects", Rejection).rows


def by_choice(row: Rejection) -> bool:
    """Tell whether something was left out because the user wants it so."""
    return "excluded_by" in row.detail


def refuse_rejections(rejections: Iterable[Rejection]) -> None:
    """Raise the error that a strict run ends with if anything was left out but by choice."""
    for row in rejections:
        if not by_choice(row):
            where = "" if row.path in row.reason else f"{row.path}: "
            raise DataError(f"{where}{row.reason} (strict: nothing may be left out)")


def shards_in(path: Path) -> Path:
    """Return the folder of shards of a working folder; any other path is taken as it is."""
    shards = WorkFolder.at(path).shards
    return shards if shards.is_dir() else path
