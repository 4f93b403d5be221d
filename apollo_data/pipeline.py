"""The main job: every stage from raw songs to shards, doing what is missing and no more."""

from dataclasses import dataclass
from pathlib import Path

from apollo_data.building import BuildReport, build_shards
from apollo_data.codec import require_encoders
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.manifest import Manifest, read_manifest
from apollo_data.records import StemActivity, Track
from apollo_data.settings import Settings
from apollo_data.sources.demo import write_demo
from apollo_data.stages import detect_activity, make_catalog, plan_mixes
from apollo_data.storage import folder_lock
from apollo_data.workfolder import WorkFolder


@dataclass(frozen=True)
class Prepared:
    """What the stages before the mixes have found."""

    tracks: Manifest[Track]
    activities: Manifest[StemActivity]


def prepare(
    source: Path, work: WorkFolder, settings: Settings, workers: int, console: Console
) -> Prepared:
    """Read or make the catalog and the activity of `source`.

    Parameters
    ----------
    source
        A folder of songs, or a working folder or manifest whose catalog is taken as it is.
    """
    has_catalog = source.is_file() or (source / work.tracks.name).is_file()
    if has_catalog:
        path = source if source.is_file() else source / work.tracks.name
        tracks = read_manifest(path, "tracks", Track)
    else:
        tracks = make_catalog(source, work, settings, console)
    activities = detect_activity(tracks, work, settings, workers, console)
    return Prepared(tracks, activities)


def build_h5(
    source: Path | None, work: WorkFolder, settings: Settings, workers: int, console: Console
) -> BuildReport:
    """Run the whole pipeline into a working folder.

    Parameters
    ----------
    source
        The folder of songs; without one, the demo songs if the settings ask for them, else
        the working folder's own ``raw``.

    Raises
    ------
    DataError
        There are no songs, or too many clips were rejected.
    ToolError
        ffmpeg lacks an encoder that the settings need.
    BusyError
        Another build is at work in the same folder.
    """
    require_encoders(settings.codecs)
    with folder_lock(work.path):
        if source is None:
            source = work.raw
            if settings.source == "demo":
                make_demo(source, settings, workers, console)
            elif not source.is_dir():
                raise DataError(f"{source}: no such folder; name your songs with --in DIR")
        prepared = prepare(source, work, settings, workers, console)
        sizes = plan_mixes(prepared.tracks, prepared.activities, work, settings, console)
        return build_shards(work, settings, sizes, workers, console)


def make_demo(out: Path, settings: Settings, workers: int, console: Console) -> None:
    """Synthesise the demo songs that the settings describe, as far as they are not there."""
    demo = settings.demo
    with console.progress("demo", demo.songs, "songs") as advance:
        write_demo(out, demo.songs, demo.seconds, demo.seed, workers, lambda _song: advance(1))
