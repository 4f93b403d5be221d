"""The build: cut the plan into shards, build those that are missing, list them all."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from apollo_data.console import Console
from apollo_data.errors import DataError, SettingsError
from apollo_data.parallel import parallel_map
from apollo_data.records import SPLITS, MixRecipe, Rejection, ShardInfo
from apollo_data.settings import BuildSettings
from apollo_data.shards import FORMAT_VERSION
from apollo_data.shards.build_one import ShardOutcome, ShardTask, build_shard
from apollo_data.storage import key_of, remove_partials
from apollo_data.workspace.folder import PlanFiles
from apollo_data.workspace.manifest import (
    iterate_rows,
    read_header,
    read_manifest,
    root_of,
    to_json,
    write_manifest,
)
from apollo_data.workspace.reject_log import RejectLog


@dataclass(frozen=True)
class BuildReport:
    """What a build did: all shards, what was rejected, clips of the plan, shards kept as is."""

    shards: tuple[ShardInfo, ...]
    rejections: tuple[Rejection, ...]
    drawn: int
    reused: int

    @property
    def rejected(self) -> int:
        """How many clips were rejected."""
        return len(self.rejections)


@dataclass(frozen=True)
class ShardPart:
    """Some of a plan's shards, numbered from 0 through all splits: every `step`-th of a range.

    `stop` is exclusive; None means the end.
    """

    start: int
    stop: int | None
    step: int = 1

    @classmethod
    def parse(cls, text: str) -> "ShardPart":
        """Read ``A:B``, shards A to B - 1, or ``I/N``, the I-th (from 1) of N equal parts.

        Examples
        --------
        >>> ShardPart.parse("2/8")
        ShardPart(start=1, stop=None, step=8)
        """
        for sign, make in ((":", cls), ("/", lambda part, parts: cls(part - 1, None, parts))):
            first, found, second = text.partition(sign)
            if found and first.isdecimal() and second.isdecimal():
                part: ShardPart = make(int(first), int(second))
                if part.start >= 0 and part.start < (part.step if sign == "/" else int(second)):
                    return part
        raise SettingsError(
            f"shards {text!r}: expected A:B (shards A to B - 1, from 0 on) or I/N (part I of N)"
        )

    def has(self, number: int) -> bool:
        """Tell whether a shard belongs to the part."""
        before_stop = self.stop is None or number < self.stop
        return number >= self.start and before_stop and (number - self.start) % self.step == 0


def build_shards(
    plan: PlanFiles,
    settings: BuildSettings,
    sizes: dict[str, int],
    rejects: RejectLog,
    workers: int,
    console: Console,
) -> BuildReport:
    """Build every shard of the plan in mixes.jsonl that is not there yet, and list them all."""
    remove_partials(plan.shards)
    tasks = _tasks(plan, settings, _known_shards(plan))
    total = sum(sizes.values())
    try:
        outcomes = _run_tasks(tasks, total, rejects, workers, console)
    finally:
        remove_partials(plan.shards)
    infos = tuple(outcome.info for outcome in outcomes if outcome.info)
    rejections = [row for outcome in outcomes for row in outcome.rejections]
    _remove_stale(plan, infos)
    rejects.record(["build-h5"], rejections)
    write_manifest(
        plan.shard_list, "shards", infos, key_of([info.key for info in infos]), plan.base
    )
    reused = sum(outcome.reused for outcome in outcomes)
    return BuildReport(infos, tuple(rejections), total, reused)


def build_part(
    plan: PlanFiles,
    settings: BuildSettings,
    part: ShardPart,
    rejects: RejectLog,
    workers: int,
    console: Console,
) -> BuildReport:
    """Build some of the shards, while other processes may build theirs.

    Only shards are written, since rejects.jsonl and shards.jsonl belong to all parts: the build
    of the whole that comes after finds the shards, tries the rejected clips again and records
    them. The report holds the rejections of this part.
    """
    tasks = list(_tasks(plan, settings, _known_shards(plan), part))
    total = sum(len(task.recipes) for task in tasks)
    outcomes = _run_tasks(tasks, total, rejects, workers, console)
    rejections = tuple(row for outcome in outcomes for row in outcome.rejections)
    reused = sum(outcome.reused for outcome in outcomes)
    infos = tuple(outcome.info for outcome in outcomes if outcome.info)
    return BuildReport(infos, rejections, total, reused)


def _run_tasks(
    tasks: Iterable[ShardTask], total: int, rejects: RejectLog, workers: int, console: Console
) -> list[ShardOutcome]:
    outcomes: list[ShardOutcome] = []
    with (
        console.progress("shards", total, "clips") as advance,
        contextlib.closing(parallel_map(build_shard, tasks, workers)) as results,
    ):
        for outcome in results:
            rejects.check(outcome.rejections)
            outcomes.append(outcome)
            targets = outcome.info.targets if outcome.info else 0
            advance(targets + len(outcome.rejections))
    for reason, count in Counter(outcome.reason for outcome in outcomes).items():
        if reason:
            console.note(f"shards: {count} built anew ({reason})")
    return outcomes


def _known_shards(plan: PlanFiles) -> dict[str, ShardInfo]:
    if not plan.shard_list.exists():
        return {}
    try:
        rows = read_manifest(plan.shard_list, "shards", ShardInfo).rows
    except DataError:
        return {}
    return {row.path: row for row in rows}


def _tasks(
    plan: PlanFiles,
    settings: BuildSettings,
    known: dict[str, ShardInfo],
    part: ShardPart | None = None,
) -> Iterator[ShardTask]:
    """Cut the plan into shards, lazily, because a plan can be long."""
    header = read_header(plan.mixes)
    inputs_key = read_header(plan.tracks).key
    size = settings.shards.clips_per_shard
    wanted = _rows_of(part, size) if part else None
    recipes = iterate_rows(plan.mixes, "mixes", MixRecipe, wanted)
    groups = itertools.groupby(recipes, lambda recipe: (recipe.split, recipe.index // size))
    for (split, number), group in groups:
        own = tuple(group)
        path = f"shards/{split}/shard-{number:05d}.h5"
        yield ShardTask(
            base=plan.base,
            path=path,
            split=split,
            root=root_of(plan.mixes, header),
            decoded=plan.decoded,
            recipes=own,
            settings=settings,
            key=_shard_key(own, settings, inputs_key),
            known=known.get(path),
        )


def _rows_of(part: ShardPart, clips_per_shard: int) -> Callable[[dict[str, Any]], bool]:
    """Return a function that tells, for the plan's rows in order, which ones belong to the part."""
    numbers: dict[tuple[str, int], int] = {}

    def wanted(values: dict[str, Any]) -> bool:
        shard = values["split"], values["index"] // clips_per_shard
        return part.has(numbers.setdefault(shard, len(numbers)))

    return wanted


def _shard_key(recipes: Sequence[MixRecipe], settings: BuildSettings, inputs_key: str) -> str:
    rows = [to_json(recipe) for recipe in recipes]
    return key_of(FORMAT_VERSION, inputs_key, settings.texts[recipes[0].split], rows)


def _remove_stale(plan: PlanFiles, infos: Sequence[ShardInfo]) -> None:
    """Delete shards of an earlier plan that this plan does not have."""
    current = {plan.base / info.path for info in infos}
    for split in SPLITS:
        for path in (plan.shards / split).glob("shard-*.h5"):
            if path not in current:
                path.unlink()
