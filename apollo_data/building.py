"""Plan to shards: each shard is built from its recipes alone, by whoever, in any order."""

import contextlib
import errno
import hashlib
import itertools
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import apollo_data
from apollo_data.audio import Samples, ffmpeg_version
from apollo_data.codec import BATCH_CLIPS, CodedClip, round_trip
from apollo_data.console import Console
from apollo_data.errors import AudioError, DataError
from apollo_data.manifest import (
    iterate_rows,
    read_header,
    read_manifest,
    root_of,
    to_json,
    write_manifest,
)
from apollo_data.mixing import render
from apollo_data.pairing import read_pair
from apollo_data.records import SPLITS, MixRecipe, PairClip, Rejection, ShardInfo
from apollo_data.runner import run
from apollo_data.settings import Settings, settings_toml
from apollo_data.shards import FORMAT_VERSION, ShardHead, ShardReader, ShardWriter
from apollo_data.storage import key_of, remove_partials, sha256_file, whole_file
from apollo_data.workfolder import WorkFolder, refuse_rejections

_Pairs = tuple[MixRecipe, Samples, list[CodedClip]]

_SILENT_PEAK = 1e-5  # -100 dBFS: nothing to restore, and nothing to divide by


@dataclass(frozen=True)
class ShardTask:
    """Everything that one shard is made from; `path` is relative to `base`."""

    base: Path
    path: str
    split: str
    root: Path
    decoded: Path
    recipes: tuple[MixRecipe, ...]
    settings: Settings
    key: str
    known: ShardInfo | None


@dataclass(frozen=True)
class ShardOutcome:
    """What became of a task."""

    info: ShardInfo
    rejections: tuple[Rejection, ...]
    reused: bool


@dataclass(frozen=True)
class BuildReport:
    """What a build did."""

    shards: tuple[ShardInfo, ...]
    rejected: int
    drawn: int
    reused: int


def build_shards(
    work: WorkFolder, settings: Settings, sizes: dict[str, int], workers: int, console: Console
) -> BuildReport:
    """Build every shard of the plan in mixes.jsonl that is not there yet."""
    remove_partials(work.shards)
    tasks = _tasks(work, settings, _known_shards(work))
    total = sum(sizes.values())
    outcomes: list[ShardOutcome] = []
    try:
        with (
            console.progress("shards", total, "clips") as advance,
            contextlib.closing(run(build_shard, tasks, workers)) as results,
        ):
            for outcome in results:
                if settings.strict:
                    refuse_rejections(outcome.rejections)
                outcomes.append(outcome)
                advance(outcome.info.targets + len(outcome.rejections))
    finally:
        remove_partials(work.shards)
    infos = tuple(outcome.info for outcome in outcomes)
    rejections = [row for outcome in outcomes for row in outcome.rejections]
    _remove_stale(work, infos)
    work.record_rejects(["build-h5"], rejections)
    write_manifest(
        work.shard_list, "shards", infos, key_of([info.key for info in infos]), work.path
    )
    reused = sum(outcome.reused for outcome in outcomes)
    return BuildReport(infos, len(rejections), total, reused)


def _known_shards(work: WorkFolder) -> dict[str, ShardInfo]:
    if not work.shard_list.exists():
        return {}
    try:
        rows = read_manifest(work.shard_list, "shards", ShardInfo).rows
    except DataError:
        return {}
    return {row.path: row for row in rows}


def _tasks(
    work: WorkFolder, settings: Settings, known: dict[str, ShardInfo]
) -> Iterator[ShardTask]:
    """Cut the plan into shards; lazily, since a plan can be long."""
    header = read_header(work.mixes)
    inputs_key = read_header(work.tracks).key
    recipes = iterate_rows(work.mixes, "mixes", MixRecipe)
    size = settings.shards.clips_per_shard
    groups = itertools.groupby(recipes, lambda recipe: (recipe.split, recipe.index // size))
    for (split, number), group in groups:
        own = tuple(group)
        path = f"shards/{split}/shard-{number:05d}.h5"
        yield ShardTask(
            base=work.path,
            path=path,
            split=split,
            root=root_of(work.mixes, header),
            decoded=work.decoded,
            recipes=own,
            settings=settings,
            key=_shard_key(own, settings, inputs_key),
            known=known.get(path),
        )


def _shard_key(recipes: Sequence[MixRecipe], settings: Settings, inputs_key: str) -> str:
    rows = [to_json(recipe) for recipe in recipes]
    return key_of(FORMAT_VERSION, inputs_key, shard_settings(settings, recipes[0].split), rows)


def shard_settings(settings: Settings, split: str) -> str:
    """Return the settings that a split's shards follow from, as TOML: no more and no less.

    How many clips there are in all, or how a network is trained, is not among them; a
    change there leaves finished shards as they are.
    """
    own: dict[str, Any]
    if split == "test":
        drawn = {"seed", "mixing", "bitrates_kbps", "variants"}
        own = {"mixing": {"clip_seconds"}, "codec": {"paper_clamp"}, "evaluation": drawn}
    else:
        own = {"mixing": True, "codec": {"bitrates_kbps", "variants", "paper_clamp"}}
    common = {"seed": True, "sample_rate": True, "activity": True, "shards": {"dtype"}}
    return settings_toml(settings, {**common, **own})


def build_shard(task: ShardTask) -> ShardOutcome:
    """Build one shard, or recognise it as built already."""
    path = task.base / task.path
    if (done := _finished(task, path)) is not None:
        return done
    rejections: list[Rejection] = []
    try:
        with whole_file(path) as temporary:
            targets, pairs = _write_shard(temporary, task, rejections)
            size, digest = temporary.stat().st_size, sha256_file(temporary)
    except OSError as error:
        # HDF5 tells the cause in the midst of a paragraph of its own.
        full = error.errno == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(error)
        why = os.strerror(errno.ENOSPC) if full else str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be written ({why}); run again to go on") from None
    info = ShardInfo(task.path, task.split, targets, pairs, size, digest, task.key)
    return ShardOutcome(info, tuple(rejections), reused=False)


def _write_shard(path: Path, task: ShardTask, rejections: list[Rejection]) -> tuple[int, int]:
    """Write all clips of a task and return how many targets and pairs there are."""
    pairs = sum(len(recipe.codings) for recipe in task.recipes)
    _check_room(path, task, pairs)
    with ShardWriter(path, _head(task), len(task.recipes), pairs) as shard:
        for batch in _batches(task.recipes):
            for recipe, target, coded in _make_pairs(batch, task, rejections):
                audio = [clip.audio for clip in coded]
                shard.add(recipe, target, audio, [clip.actual_kbps for clip in coded])
        return shard.targets, shard.pairs


def _check_room(path: Path, task: ShardTask, pairs: int) -> None:
    """Refuse to begin a shard that the disk cannot take: HDF5 may crash when it finds out."""
    row = 2 * task.settings.clip_samples * np.dtype(task.settings.shards.dtype).itemsize
    needed = row * (len(task.recipes) + pairs)
    if shutil.disk_usage(path.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _finished(task: ShardTask, path: Path) -> ShardOutcome | None:
    """Return a shard that is already there, made from the same key; else None."""
    if not path.is_file():
        return None
    size = path.stat().st_size
    if (row := task.known) is not None and (row.key, row.bytes) == (task.key, size):
        return _reuse(task, path, row)
    try:
        with ShardReader(path) as shard:
            if shard.key != task.key:
                return None
            targets, pairs = shard.targets, shard.pairs
    except DataError:
        return None
    info = ShardInfo(task.path, task.split, targets, pairs, size, sha256_file(path), task.key)
    return _reuse(task, path, info)


def _reuse(task: ShardTask, path: Path, info: ShardInfo) -> ShardOutcome | None:
    """Take a finished shard again, unless clips were rejected then: those deserve another try."""
    return ShardOutcome(info, (), reused=True) if info.targets == len(task.recipes) else None


def _head(task: ShardTask) -> ShardHead:
    settings = task.settings
    text = shard_settings(settings, task.split)
    return ShardHead(
        split=task.split,
        sample_rate=settings.sample_rate,
        clip_seconds=settings.mixing.clip_seconds,
        samples=settings.clip_samples,
        dtype=settings.shards.dtype,
        settings=text,
        settings_sha256=hashlib.sha256(text.encode()).hexdigest(),
        software=f"apollo-toolkit {apollo_data.__version__}; ffmpeg {ffmpeg_version()}",
        key=task.key,
    )


def _batches(recipes: Iterable[MixRecipe]) -> Iterator[list[MixRecipe]]:
    """Group recipes so that a batch of pairs fills one ffmpeg process each way.

    The user's own pairs, which need none, are in batches of their own, so that the order stays.
    """
    batch: list[MixRecipe] = []
    pairs = 0
    for recipe in recipes:
        other = batch and bool(batch[-1].pair) != bool(recipe.pair)
        if other or (batch and pairs + len(recipe.codings) > BATCH_CLIPS):
            yield batch
            batch, pairs = [], 0
        batch.append(recipe)
        pairs += len(recipe.codings)
    if batch:
        yield batch


def _make_pairs(
    batch: Sequence[MixRecipe], task: ShardTask, rejections: list[Rejection]
) -> Iterator[_Pairs]:
    """Render and code a batch; a clip that fails is rejected, the others go on."""
    targets: list[tuple[MixRecipe, Samples]] = []
    for recipe in batch:
        try:
            if recipe.pair is not None:
                yield _read_own(recipe, recipe.pair, task)
            else:
                targets.append((recipe, _audible(render(recipe, task.root, _rate(task)))))
        except AudioError as error:
            rejections.append(_reject(recipe, task, error))
    yield from _code_or_reject(targets, task, rejections)


def _code_or_reject(
    targets: Sequence[tuple[MixRecipe, Samples]], task: ShardTask, rejections: list[Rejection]
) -> Iterator[_Pairs]:
    """Code a batch; where that fails, its halves, until the clip that fails stands alone."""
    try:
        yield from _code(targets, task)
    except AudioError as error:
        if len(targets) == 1:
            rejections.append(_reject(targets[0][0], task, error))
            return
        middle = len(targets) // 2
        yield from _code_or_reject(targets[:middle], task, rejections)
        yield from _code_or_reject(targets[middle:], task, rejections)


def _rate(task: ShardTask) -> int:
    return task.settings.sample_rate


def _read_own(recipe: MixRecipe, clip: PairClip, task: ShardTask) -> _Pairs:
    """Return a clip of the user's own pair, which nobody needs to code."""
    clean, degraded = read_pair(clip, task.root, task.decoded, _rate(task))
    return recipe, _audible(clean), [CodedClip(degraded, clip.degraded_kbps)]


def _audible(target: Samples) -> Samples:
    if np.abs(target).max() < _SILENT_PEAK:
        raise AudioError("the clip is silent")
    return target


def _code(targets: Sequence[tuple[MixRecipe, Samples]], task: ShardTask) -> list[_Pairs]:
    """Return each target with its coded forms, all made in as few processes as possible."""
    jobs = [(target, coding) for recipe, target in targets for coding in recipe.codings]
    coded = iter(
        round_trip(
            [target for target, _ in jobs],
            [coding for _, coding in jobs],
            task.settings.sample_rate,
            task.settings.codec,
        )
        if jobs
        else []
    )
    return [
        (recipe, target, list(itertools.islice(coded, len(recipe.codings))))
        for recipe, target in targets
    ]


def _reject(recipe: MixRecipe, task: ShardTask, error: AudioError) -> Rejection:
    detail = {"split": recipe.split, "index": str(recipe.index)}
    return Rejection(task.path, "build-h5", str(error), detail)


def _remove_stale(work: WorkFolder, infos: Sequence[ShardInfo]) -> None:
    """Delete shards that an earlier plan left and this one does not have."""
    current = {work.path / info.path for info in infos}
    for split in SPLITS:
        for path in (work.shards / split).glob("shard-*.h5"):
            if path not in current:
                path.unlink()
