"""Build one shard from its recipes; who builds it, where and how often changes nothing."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import apollo_data
from apollo_data.audio.ffmpeg import ffmpeg_version
from apollo_data.codec.round_trip import BATCH_CLIPS
from apollo_data.disk_space import require_free_space, telling_full_disk
from apollo_data.errors import AudioError, DataError
from apollo_data.records import MixRecipe, Rejection, ShardInfo
from apollo_data.settings import BuildSettings
from apollo_data.shards import ShardHead, ShardReader, ShardWriter
from apollo_data.shards.clips import make_clips
from apollo_data.storage import sha256_file, whole_file
from apollo_data.workspace.rebuild_reasons import changed_settings

_GO_ON = "make room on this disk and run again to go on"


@dataclass(frozen=True)
class ShardTask:
    """Everything that one shard is made from; `path` is relative to `base`."""

    base: Path
    path: str
    split: str
    root: Path
    decoded: Path
    recipes: tuple[MixRecipe, ...]
    settings: BuildSettings
    key: str
    known: ShardInfo | None


@dataclass(frozen=True)
class ShardOutcome:
    """The result of a task.

    `info` is None where all clips were rejected: there is no shard then. `reason` says why a
    shard that was there was built anew.
    """

    info: ShardInfo | None
    rejections: tuple[Rejection, ...]
    reused: bool
    reason: str = ""


def build_shard(task: ShardTask) -> ShardOutcome:
    """Build one shard, or recognise it as built already.

    Raises
    ------
    DataError
        The shard cannot be written.
    """
    path = task.base / task.path
    found = _find_built(task, path)
    if isinstance(found, ShardInfo):
        return ShardOutcome(found, (), reused=True)
    rejections: list[Rejection] = []
    try:
        with telling_full_disk(path, _GO_ON), whole_file(path) as temporary:
            targets, pairs = _write_shard(temporary, task, rejections)
            if not targets:
                raise _NoClipsError
            size, digest = temporary.stat().st_size, sha256_file(temporary)
    except _NoClipsError:
        path.unlink(missing_ok=True)  # one of an earlier plan
        return ShardOutcome(None, tuple(rejections), False, found)
    except (OSError, RuntimeError) as error:  # HDF5 tells the cause in a paragraph of its own
        raise DataError(
            f"{path}: cannot be written ({_cause(error)}); run again to go on"
        ) from None
    info = ShardInfo(task.path, task.split, targets, pairs, size, digest, task.key)
    return ShardOutcome(info, tuple(rejections), False, found)


def _cause(error: Exception) -> str:
    told = re.search(r"error message = '([^']+)'", str(error))
    return told[1] if told else " ".join(str(error).split()) or type(error).__name__


class _NoClipsError(Exception):
    """All clips of the shard were rejected."""


def _find_built(task: ShardTask, path: Path) -> ShardInfo | str:
    """Return the finished shard if there is one, else the reason to build it again.

    A shard with rejected clips is built again: they may succeed now.
    """
    if not path.is_file():
        return ""
    size = path.stat().st_size
    if (row := task.known) is None or (row.key, row.bytes) != (task.key, size):
        try:
            with ShardReader(path) as shard:
                if shard.key != task.key:
                    return _reason(shard.settings, task)
                targets, pairs = shard.targets, shard.pairs
        except DataError:
            return "damaged"
        digest = sha256_file(path)
        row = ShardInfo(task.path, task.split, targets, pairs, size, digest, task.key)
    return row if row.targets == len(task.recipes) else "clips were rejected"


def _reason(before: str, task: ShardTask) -> str:
    names = changed_settings(before, task.settings.texts[task.split])
    if not names:
        return "its recipes or the catalog changed"
    return ", ".join(f"{name} changed" for name in names)


def _write_shard(path: Path, task: ShardTask, rejections: list[Rejection]) -> tuple[int, int]:
    """Write all clips of a task and return how many targets and pairs there are."""
    pairs = sum(len(recipe.codings) for recipe in task.recipes)
    require_free_space({path.parent: _needed_bytes(task, pairs)}, path.name, _GO_ON)
    with ShardWriter(path, _head(task), len(task.recipes), pairs) as shard:
        for batch in _batches(task.recipes):
            made = make_clips(batch, task.root, task.decoded, task.settings.clips)
            for recipe, clip in zip(batch, made, strict=True):
                if isinstance(clip, AudioError):
                    rejections.append(_reject(recipe, task, clip))
                    continue
                sides = [side.audio for side in clip.coded]
                actual = [side.actual_kbps for side in clip.coded]
                shard.add(recipe, clip.target, sides, actual, clip.stems)
        return shard.targets, shard.pairs


def _needed_bytes(task: ShardTask, pairs: int) -> int:
    """Return about how large a shard gets; HDF5 may crash where a disk is full."""
    row = 2 * task.settings.clips.samples * np.dtype(task.settings.shards.dtype).itemsize
    stems = sum(len(recipe.stems) for recipe in task.recipes) if task.settings.shards.stems else 0
    return row * (len(task.recipes) + pairs + stems)


def _head(task: ShardTask) -> ShardHead:
    settings = task.settings
    text = settings.texts[task.split]
    return ShardHead(
        split=task.split,
        sample_rate=settings.clips.sample_rate,
        clip_seconds=settings.clips.clip_seconds,
        samples=settings.clips.samples,
        dtype=settings.shards.dtype,
        settings=text,
        settings_sha256=hashlib.sha256(text.encode()).hexdigest(),
        software=f"apollo-toolkit {apollo_data.__version__}; ffmpeg {ffmpeg_version()}",
        key=task.key,
        compression=settings.shards.compression,
        stems=settings.shards.stems,
    )


def _batches(recipes: Iterable[MixRecipe]) -> Iterator[list[MixRecipe]]:
    """Group recipes so that a batch of pairs fills one ffmpeg process each way."""
    batch: list[MixRecipe] = []
    pairs = 0
    for recipe in recipes:
        if batch and pairs + len(recipe.codings) > BATCH_CLIPS:
            yield batch
            batch, pairs = [], 0
        batch.append(recipe)
        pairs += len(recipe.codings)
    if batch:
        yield batch


def _reject(recipe: MixRecipe, task: ShardTask, error: AudioError) -> Rejection:
    detail = {"split": recipe.split, "index": str(recipe.index)}
    return Rejection(task.path, "build-h5", str(error), detail)
