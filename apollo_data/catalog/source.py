"""What `--in` names: a folder of songs, a working folder or a tracks.jsonl; its catalog."""

from pathlib import Path

from apollo_data.catalog.stage import files_below, make_catalog
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.records import FileFacts, Finding, Track
from apollo_data.settings import CatalogSettings
from apollo_data.sources.exclusions import Exclusions
from apollo_data.workspace.exclusion_file import checked_folder, find_exclusions
from apollo_data.workspace.folder import WorkFolder, is_work_folder
from apollo_data.workspace.manifest import (
    Manifest,
    is_current,
    iterate_rows,
    read_header,
    read_manifest,
    root_of,
    write_manifest,
)
from apollo_data.workspace.reject_log import RejectLog

_NAMES_SHOWN = 3
FINDINGS = "findings.jsonl"
LISTENED = {"fingerprints": "compared"}


def find_tracks(
    source: Path,
    work: WorkFolder,
    settings: CatalogSettings,
    rejects: RejectLog,
    workers: int,
    console: Console,
) -> Manifest[Track]:
    """Read or make the catalog of `source`.

    Parameters
    ----------
    source
        A folder of songs, whose catalog is made or brought up to date; or a working folder or a
        tracks.jsonl, whose catalog is taken as it is and written to `work` too.

    Raises
    ------
    DataError
        There is no such folder, nothing in it can be used, or the songs of a catalog are gone.
    """
    if source.is_file():
        return _adopt(source, work, rejects, console)
    if is_work_folder(source):
        return _adopt(WorkFolder.at(source).tracks, work, rejects, console)
    return catalog_songs(source, work, settings, rejects, workers, console)


def catalog_songs(
    root: Path,
    work: WorkFolder,
    settings: CatalogSettings,
    rejects: RejectLog,
    workers: int,
    console: Console,
) -> Manifest[Track]:
    """Make the catalog of a folder of songs.

    Exclusions are honoured: those of the working folder, and those that `check --fix` has written
    for the same songs where it works without --out.
    """
    rows, files = find_exclusions(root, work)
    for file in files:
        if file != work.exclusions:
            console.note(f"exclusions: those of {file} are honoured")
    about = (settings, Exclusions(rows, root), rejects)
    tracks = make_catalog(root, work.tracks, work.files, *about, workers, console)
    _tell_leaks(tracks, work, console)
    return tracks


def _adopt(
    manifest: Path, work: WorkFolder, rejects: RejectLog, console: Console
) -> Manifest[Track]:
    """Read a catalog, and write it to the working folder if it is that of another one."""
    tracks = read_manifest(manifest, "tracks", Track)
    if not tracks.root.is_dir():
        raise DataError(
            f"{manifest}: its songs should be in {tracks.root}, which is no folder; if they have "
            f"moved, run `catalog --in SONGS --out {manifest.parent}`"
        )
    _tell_new_files(manifest, tracks.root, console)
    if work.tracks.resolve() == manifest.resolve():
        return tracks
    if not is_current(work.tracks, tracks.header.key, tracks.root):
        write_manifest(work.tracks, "tracks", tracks.rows, tracks.header.key, tracks.root)
    earlier = WorkFolder.at(manifest.parent).reject_log().read()
    rejects.record(["catalog"], [row for row in earlier if row.stage == "catalog"])
    return read_manifest(work.tracks, "tracks", Track)


def _tell_new_files(manifest: Path, root: Path, console: Console) -> None:
    """Say so if there are songs' files that a catalog, taken as it is, does not know."""
    files = WorkFolder.at(manifest.parent).files
    if not files.is_file():
        return
    known = {root / row.path for row in iterate_rows(files, "files", FileFacts)}
    if new := [file for file in files_below(root) if file not in known]:
        console.warn(
            f"{manifest}: does not know {len(new)} files that have been added since, as {new[0]}; "
            f"run `catalog --in {root} --out {manifest.parent}` to take them"
        )


def _tell_leaks(tracks: Manifest[Track], work: WorkFolder, console: Console) -> None:
    """Say what `check` has found of recordings in two splits, or that it has not looked."""
    if len({track.split for track in tracks.rows}) < 2:
        return
    compared = False
    for folder in (work.path, checked_folder(tracks.root)):
        if folder is None or not (path := folder / FINDINGS).is_file():
            continue
        header = read_header(path)
        if root_of(path, header).resolve() != tracks.root.resolve():
            continue
        compared |= header.key == tracks.header.key and header.made_from == LISTENED
        songs = {track.song for track in tracks.rows}
        found = (row for row in iterate_rows(path, "findings", Finding) if row.wrong)
        leaks = [row for row in found if row.check == "doubles" and row.path in songs]
        if leaks:
            names = ", ".join(row.path for row in leaks[:_NAMES_SHOWN])
            console.warn(
                f"{len(leaks)} songs are copies of songs in another split, as `check` has found "
                f"({names}); `apollo-data check {tracks.root} --fix` leaves them out"
            )
            return
    if not compared:
        console.note(
            "catalog: songs were compared by their samples only; "
            f"`apollo-data check {tracks.root} --fix` finds other copies too"
        )
