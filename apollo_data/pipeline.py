"""The main job: every stage from raw songs to shards, doing what is missing and no more."""

from dataclasses import dataclass
from pathlib import Path

from apollo_data.activity.stage import activity_origin, detect_activity
from apollo_data.catalog.source import find_tracks
from apollo_data.codec.round_trip import require_encoders
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.mixing.plan import plan_mixes, plan_origin
from apollo_data.mixing.unused import STAGE as UNUSED
from apollo_data.mixing.unused import unused_songs
from apollo_data.pairing.stage import PairingSettings, align_pairs
from apollo_data.records import AlignedPair, StemActivity, Track
from apollo_data.settings import Settings
from apollo_data.shards.build import BuildReport, ShardPart, build_part, build_shards
from apollo_data.sources.demo.songs import write_demo
from apollo_data.storage import folder_lock
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import Header, Manifest, read_manifest
from apollo_data.workspace.rebuild_reasons import require_origin
from apollo_data.workspace.reject_log import tell_rejections

_RUN_MIX = "run `mix` with these settings first"


@dataclass(frozen=True)
class Prepared:
    """What the stages before the mixes have found."""

    tracks: Manifest[Track]
    activities: Manifest[StemActivity]
    pairs: Manifest[AlignedPair]


def prepare(
    source: Path, work: WorkFolder, settings: Settings, workers: int, console: Console
) -> Prepared:
    """Read or make the catalog, the activity and the aligned pairs of `source`.

    Parameters
    ----------
    source
        A folder of songs, or a working folder or manifest whose catalog is taken as it is.
    """
    rejects = work.reject_log(settings.strict)
    tracks = find_tracks(source, work, settings.catalog, rejects, workers, console)
    activities = detect_activity(
        tracks, work.activity_files, settings.activity, rejects, workers, console
    )
    rules = PairingSettings(settings.paired, settings.activity, settings.sample_rate)
    pairs = align_pairs(tracks, work.pairs, work.decoded, rules, rejects, workers, console)
    return Prepared(tracks, activities, pairs)


def plan_prepared(
    prepared: Prepared, work: WorkFolder, settings: Settings, console: Console
) -> dict[str, int]:
    """Write the plan of all clips; return how many there are of each split.

    Songs that no clip can be cut from get rows in rejects.jsonl.
    """
    found = (prepared.tracks, prepared.activities, prepared.pairs)
    sizes = plan_mixes(*found, work.mixes, settings.for_plan(), console)
    unused = unused_songs(prepared.tracks.rows, prepared.activities.rows, settings.for_plan())
    rejects = work.reject_log(settings.strict)
    rejects.record([UNUSED], unused)
    rejects.check(unused)
    return sizes


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
        There are no songs; or, after all else is built, too many files or clips were rejected.
    ToolError
        ffmpeg lacks an encoder that the settings need.
    BusyError
        Another build is at work in the same folder.
    """
    require_encoders(settings.codecs)
    with work.lock():
        if source is None:
            source = work.raw
            if settings.source == "demo":
                make_demo(source, settings, workers, console)
            elif not source.is_dir():
                raise DataError(f"{source}: no such folder; name your songs with --in DIR")
        prepared = prepare(source, work, settings, workers, console)
        sizes = plan_prepared(prepared, work, settings, console)
        rejects = work.reject_log(settings.strict)
        plan = work.plan_files
        report = build_shards(plan, settings.for_shards(), sizes, rejects, workers, console)
        tell_rejections(rejects.read(), console)
        rejects.check_files(prepared.tracks.rows, settings.max_rejected_share)
        rejects.check_share(report.rejected, report.drawn, "clips", settings.max_rejected_share)
        return report


def build_h5_part(
    work: WorkFolder, settings: Settings, part: ShardPart, workers: int, console: Console
) -> BuildReport:
    """Build some shards of a plan that is there, side by side with others that do the same.

    Catalog, activity and plan are taken as they are, and nothing but shards is written.

    Raises
    ------
    DataError
        There is no plan, or it is not the plan of these settings; or, after all shards of the
        part are built, too many of its clips were rejected.
    ToolError
        ffmpeg lacks an encoder that the settings need.
    BusyError
        The folder is being planned, or built as a whole.
    """
    require_encoders(settings.codecs)
    with folder_lock(work.path, shared=True):
        _require_plan(work, settings)
        rejects = work.reject_log(settings.strict)
        build = settings.for_shards()
        report = build_part(work.plan_files, build, part, rejects, workers, console)
        tell_rejections(report.rejections, console)
        rejects.check_share(report.rejected, report.drawn, "clips", settings.max_rejected_share)
        return report


def _require_plan(work: WorkFolder, settings: Settings) -> None:
    """Refuse manifests that other settings, or earlier manifests, were made from."""
    tracks = read_manifest(work.tracks, "tracks", Track)
    activities = read_manifest(work.activity, "activity", StemActivity)
    pairs = Manifest[AlignedPair](Header("pairs", ""), (), tracks.root)
    if work.pairs.exists():
        pairs = read_manifest(work.pairs, "pairs", AlignedPair)
    plan = plan_origin(activities, pairs, settings.for_plan())
    require_origin(work.activity, activity_origin(tracks, settings.activity), _RUN_MIX)
    require_origin(work.mixes, plan, _RUN_MIX)


def make_demo(out: Path, settings: Settings, workers: int, console: Console) -> None:
    """Synthesise the demo songs that the settings describe, as far as they are not there."""
    demo = settings.demo
    with console.progress("demo", demo.songs, "songs") as advance:
        write_demo(out, demo.songs, demo.seconds, demo.seed, workers, lambda _song: advance(1))
