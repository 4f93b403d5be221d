"""The plan stage: draw the recipe of every clip and write mixes.jsonl, before any rendering."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.mixing.pool import MixPool, split_sizes
from apollo_data.pairing.stage import pair_clips
from apollo_data.records import (
    PAIRED,
    SPLITS,
    AlignedPair,
    Coding,
    MixRecipe,
    PairClip,
    StemActivity,
    Track,
)
from apollo_data.settings import MixingSettings, PlanSettings
from apollo_data.storage import key_of
from apollo_data.workspace.manifest import Manifest, is_current, write_manifest
from apollo_data.workspace.rebuild_reasons import rebuild_reason

_PROGRESS_STEP = 100


def plan_mixes(
    tracks: Manifest[Track],
    activities: Manifest[StemActivity],
    pairs: Manifest[AlignedPair],
    manifest: Path,
    settings: PlanSettings,
    console: Console,
) -> dict[str, int]:
    """Draw all recipes, write mixes.jsonl and return how many there are of each split.

    The clips of the user's own pairs follow after the mixes of their split.

    Parameters
    ----------
    tracks, activities, pairs
        What the stages before have written.
    manifest
        Where mixes.jsonl is written.
    settings
        What the plan follows from.
    console
        Where progress is shown.

    Raises
    ------
    DataError
        There is nothing to mix, or the settings ask for no clips.
    """
    pools = {split: MixPool(tracks.rows, activities.rows, split, settings) for split in SPLITS}
    mixes = split_sizes(pools, settings)
    clips = {split: _clips_of(split, pairs.rows, settings.mixing) for split in SPLITS}
    sizes = {split: mixes[split] + len(clips[split]) for split in SPLITS}
    if not any(sizes.values()):
        raise DataError(
            f"{manifest}: nothing has {settings.mixing.clip_seconds:g} s of enough activity, "
            "or the settings ask for no clips"
        )
    for split, pool in pools.items():
        if not clips[split]:
            _tell_limits(split, mixes[split], pool, console)
    origin = plan_origin(activities, pairs, settings)
    key = key_of(origin)
    if is_current(manifest, key, tracks.root):
        console.note("mixes: nothing to do")
        return sizes
    if reason := rebuild_reason(manifest, origin):
        console.note(f"mixes: drawn anew ({reason})")
    total = sum(sizes.values())
    with console.progress("mixes", total, "recipes") as advance:

        def counted() -> Iterator[MixRecipe]:
            for number, recipe in enumerate(_recipes(pools, mixes, clips, settings)):
                if (
                    number % _PROGRESS_STEP == 0
                ):  # updating the bar at each recipe would take longer than the draw
                    advance(min(_PROGRESS_STEP, total - number))
                yield recipe

        write_manifest(manifest, "mixes", counted(), key, tracks.root, origin)
    return sizes


def plan_origin(
    activities: Manifest[StemActivity], pairs: Manifest[AlignedPair], settings: PlanSettings
) -> dict[str, str]:
    """Return what a plan follows from, in parts that can be named."""
    own = {"pairs": pairs.header.key} if pairs.rows else {}
    return {"settings": settings.text, "activity": activities.header.key, **own}


def _clips_of(split: str, pairs: Sequence[AlignedPair], settings: MixingSettings) -> list[PairClip]:
    own = (pair for pair in pairs if pair.split == split)
    return [clip for pair in own for clip in pair_clips(pair, settings)]


def _recipes(
    pools: dict[str, MixPool],
    mixes: dict[str, int],
    clips: dict[str, list[PairClip]],
    settings: PlanSettings,
) -> Iterator[MixRecipe]:
    """Yield the recipes split by split, numbered within each."""
    for split, count in mixes.items():
        yield from map(pools[split].draw, range(count))
        for index, clip in enumerate(clips[split], start=count):
            yield MixRecipe(settings.seed, index, split, PAIRED, (), (Coding(PAIRED),), pair=clip)


def _tell_limits(split: str, size: int, pool: MixPool, console: Console) -> None:
    """Warn where a split cannot provide what the settings ask for."""
    if not size:
        console.warn(f"split {split} gets no clips: no song of it, or none asked for")
    elif pool.classes and pool.max_stems < pool.rules.max_stems:
        console.warn(
            f"split {split} has {len(pool.songs)} songs and {len(pool.classes)} stem classes: "
            f"its mixes have at most {pool.max_stems} stems"
        )
