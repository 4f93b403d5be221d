"""Layout ``upstream``: what the paper's public trainer reads.

``{stem class}/sample{N}.hdf5`` and ``mixture/sample{N}.hdf5`` hold 6-s segments of the training
songs, N being the song's number among them. ``eval/`` (from the validation shards) and
``codec-test/`` (from the test shards), the trainer's own names, have a folder for each pair with
``ori_wav.wav`` and ``codec_wav.wav``. The trainer lists these folders and opens whatever is in
them, so nothing else may be there.

Source: https://github.com/JusperLee/Apollo, look2hear/datas/musdb_moisesdb_datamodule.py.
"""

from pathlib import Path

from apollo_data.console import Console
from apollo_data.disk_space import require_free_space
from apollo_data.errors import DataError
from apollo_data.export.folder import ExportReport, export_folder
from apollo_data.export.pair_files import (
    WAV,
    PairTask,
    missing_bytes,
    plan_pairs,
    shard_keys,
    write_all_pairs,
)
from apollo_data.export.segments import (
    SegmentTask,
    missing_segment_bytes,
    plan_segments,
    write_all_segments,
)
from apollo_data.records import STEM_CLASSES, StemActivity, Track
from apollo_data.shards import find_shards
from apollo_data.storage import key_of
from apollo_data.workspace.folder import WorkFolder, shards_in
from apollo_data.workspace.manifest import Manifest, read_manifest

EVALUATION = {"valid": "eval", "test": "codec-test"}


def export_upstream(source: Path, out: Path, workers: int, console: Console) -> ExportReport:
    """Write segments of the training songs, and evaluation folders of the held-out shards.

    Parameters
    ----------
    source
        A working folder. Without tracks.jsonl and activity.jsonl there are no segments,
        without shards no evaluation folders; a warning says so.
    out
        Where to write; the same export run again does what is missing.

    Raises
    ------
    DataError
        There is neither, `out` cannot be used, or the disk is too small.
    AudioError
        A song's file cannot be read any more.
    """
    if not source.is_dir():
        raise DataError(f"{source}: no such folder; name a working folder")
    songs = _read_songs(source)
    shards = {split: _shards(source, split) for split in EVALUATION}
    if songs is None and not any(shards.values()):
        raise DataError(
            f"{source}: holds neither tracks.jsonl with activity.jsonl nor shards to evaluate on; "
            "run apollo-data build-h5"
        )
    if songs is None:
        console.warn(f"{source}: has no tracks.jsonl and activity.jsonl, so no training segments")
    for split in (split for split, own in shards.items() if not own):
        console.warn(f"{source}: has no {split} shards, so no folder {EVALUATION[split]}")
    tracks_key, activity_key = (item.header.key for item in songs) if songs else ("", "")
    shard_list = [key for own in shards.values() for key in shard_keys(own)]
    key = key_of("upstream", tracks_key, activity_key, shard_list)
    report = ExportReport()
    with export_folder(out, [source, *([songs[0].root] if songs else [])], key):
        segments = plan_segments(*songs, out) if songs else []
        pairs = _plan_evaluation(shards, out)
        needed = sum(map(missing_segment_bytes, segments)) + sum(map(missing_bytes, pairs))
        require_free_space({out: needed}, "the export")
        write_all_segments(segments, report, workers, console)
        for done in write_all_pairs(pairs, "evaluation", workers, console):
            done.count(report, EVALUATION[done.task.split])
    if songs:
        report.missing_classes = _missing(segments)
    return report


def _read_songs(source: Path) -> tuple[Manifest[Track], Manifest[StemActivity]] | None:
    work = WorkFolder.at(source)
    if not (work.tracks.is_file() and work.activity.is_file()):
        return None
    return (
        read_manifest(work.tracks, "tracks", Track),
        read_manifest(work.activity, "activity", StemActivity),
    )


def _shards(source: Path, split: str) -> list[Path]:
    try:
        return find_shards(shards_in(source), split)
    except DataError:
        return []


def _plan_evaluation(shards: dict[str, list[Path]], out: Path) -> list[PairTask]:
    return [
        task
        for split, own in shards.items()
        for task in plan_pairs(
            own,
            out,
            f"{EVALUATION[split]}/{{name}}/codec_wav.wav",
            f"{EVALUATION[split]}/{{name}}/ori_wav.wav",
            WAV,
        )
    ]


def _missing(segments: list[SegmentTask]) -> tuple[str, ...]:
    there = {task.folder for task in segments}
    return tuple(name for name in STEM_CLASSES if name not in there)
