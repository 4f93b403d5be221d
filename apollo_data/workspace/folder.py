"""The working folder of a pipeline: where each manifest and the shards are."""

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apollo_data.errors import DataError
from apollo_data.records import Rejection
from apollo_data.storage import folder_lock, remove_partials
from apollo_data.workspace.manifest import read_header, root_of
from apollo_data.workspace.reject_log import RejectLog

OWN_FOLDERS = ("decoded", "previews", "shards", ".cache")
"""Folders of a working folder in which no songs are looked for."""


@dataclass(frozen=True)
class ActivityFiles:
    """Where the stage writes: activity.jsonl, and what an unfinished run has found."""

    manifest: Path
    part: Path


@dataclass(frozen=True)
class PlanFiles:
    """Where the plan and its inputs are, and where shards are built.

    `base` is the folder that the paths of shards are relative to; `shard_list` is shards.jsonl.
    """

    base: Path
    tracks: Path
    mixes: Path
    decoded: Path
    shards: Path
    shard_list: Path


@dataclass(frozen=True)
class WorkFolder:
    """Paths of a pipeline's files; `at` gives them their usual names.

    Attributes
    ----------
    path
        The folder itself.
    raw
        Songs that the pipeline fetched or made itself.
    files, tracks, activity, mixes
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
    files: Path
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
            files=path / "files.jsonl",
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

        Raises
        ------
        DataError
            There is no `source`, or without `out` the folder would lie among the songs.
        """
        require_source(source)
        if out is not None and out.suffix != ".jsonl":
            return cls.at(out)
        folder = source.parent if source.is_file() else source
        is_work = is_work_folder(folder)
        if out is None:
            return cls.at(folder if is_work else default_folder(songs_of(source)))
        work = cls.at(folder if is_work else out.parent)
        return dataclasses.replace(work, **{manifest: out, "rejects": out.parent / "rejects.jsonl"})

    @property
    def activity_files(self) -> ActivityFiles:
        """Where the activity stage writes.

        The part is in the working folder, which is locked, also where the manifest is not.
        """
        part = self.path / self.activity.with_suffix(".part.jsonl").name
        return ActivityFiles(self.activity, part)

    @property
    def plan_files(self) -> PlanFiles:
        """What shards are built from, and where."""
        inputs = (self.tracks, self.mixes, self.decoded)
        return PlanFiles(self.path, *inputs, self.shards, self.shard_list)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for this process, and remove what killed runs left beside the manifests.

        Raises
        ------
        BusyError
            Another process is at work in it.
        """
        with folder_lock(self.path):
            for place in (self.path, self.decoded):
                remove_partials(place, below=False)
            yield

    def read_rejects(self) -> tuple[Rejection, ...]:
        """Return all rows of rejects.jsonl; none if there is no such file."""
        return self.reject_log().read()

    def reject_log(self, strict: bool = False) -> RejectLog:
        """Return the log of what is left out; a strict one ends the run at the first row."""
        return RejectLog(self.rejects, strict)


def require_source(source: Path) -> None:
    """Raise a `DataError` if there is no such folder or file."""
    if not source.exists():
        raise DataError(f"{source}: no such folder; name one that holds songs")


def is_work_folder(folder: Path) -> bool:
    """Tell whether a folder is a working folder, not songs beside which a manifest lies.

    It is one if it has a catalog of ours (tracks.jsonl) whose songs are elsewhere or in a folder
    below it. A catalog of the folder's own songs does not make it one.
    """
    root = _catalog_root(folder / "tracks.jsonl")
    return root is not None and root.resolve() != folder.resolve()


def _catalog_root(path: Path) -> Path | None:
    if not path.is_file():
        return None
    try:
        header = read_header(path)
    except DataError:
        return None
    return root_of(path, header) if header.kind == "tracks" else None


def songs_of(source: Path) -> Path:
    """Return the folder of songs that a source names: itself, or what its catalog speaks of."""
    if source.is_file():
        return root_of(source, read_header(source))
    if is_work_folder(source):
        return _catalog_root(source / "tracks.jsonl") or source
    return source


def default_folder(songs: Path, name: str | None = None) -> Path:
    """Return the working folder for songs where none is named: ``data/<name>``.

    It never lies among the songs: where they are in ``data/<name>`` themselves, as what
    ``download`` fetches is in data/raw, it is ``data/<name>-work``.

    Parameters
    ----------
    songs
        The folder of songs.
    name
        Of the pipeline; without one, that of the folder of songs.

    Raises
    ------
    DataError
        Both folders would lie among the songs.
    """
    name = name or songs.resolve().name or "songs"
    places = (Path("data") / name, Path("data") / f"{name}-work")
    for place in places:
        if not place.resolve().is_relative_to(songs.resolve()):
            return place
    raise DataError(
        f"{places[0]}: this working folder would lie among the songs in {songs}; "
        "name one elsewhere with --out"
    )


def shards_in(path: Path) -> Path:
    """Return the folder of shards of a working folder; any other path is taken as it is."""
    shards = WorkFolder.at(path).shards
    return shards if shards.is_dir() else path
