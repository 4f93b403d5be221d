"""Whether shards are what they claim to be."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from apollo_data.errors import ApolloError, DataError
from apollo_data.records import MixRecipe, ShardInfo
from apollo_data.shards.layout import INT16_FULL_SCALE, to_float
from apollo_data.shards.reader import ShardReader, find_shards
from apollo_data.storage import sha256_file
from apollo_data.workspace.manifest import iterate_rows

MANIFEST = "shards.jsonl"


def find_shard_manifest(path: Path) -> Path | None:
    """Return the shards.jsonl that speaks of a shard or a folder of shards, or None."""
    for folder in (
        list(path.resolve().parents)[:3]
        if path.is_file()
        else [
            path.resolve(),
            *list(path.resolve().parents)[:2],
        ]
    ):
        if (manifest := folder / MANIFEST).is_file():
            return manifest
    return None


def verify_shards(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """Check a shard or a folder of shards against shards.jsonl and the format; yield what is wrong.

    Yields
    ------
    path, problems
        Each shard, listed or found, with one line per problem; no lines where all is well.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    manifest = find_shard_manifest(path)
    listed: dict[Path, ShardInfo] = {}
    if manifest is not None:
        base = manifest.parent
        rows = iterate_rows(manifest, "shards", ShardInfo)
        listed = {(base / row.path).resolve(): row for row in rows}
    inside = path.resolve()
    expected = [item for item in listed if item == inside or inside in item.parents]
    found = {
        item.resolve()
        for item in (
            find_shards(path) if path.is_file() or not expected else path.rglob("shard-*.h5")
        )
    }
    for shard in sorted(found | set(expected)):
        yield shard, list(_problems(shard, listed.get(shard), bool(listed)))


def _problems(path: Path, row: ShardInfo | None, has_manifest: bool) -> Iterator[str]:
    if not path.is_file():
        yield f"is missing, but {MANIFEST} lists it"
        return
    if row is None and has_manifest:
        yield f"is not listed in {MANIFEST}"
    if row is not None:
        size = path.stat().st_size
        if size != row.bytes:
            yield f"has {size} bytes, {MANIFEST} says {row.bytes}"
        elif sha256_file(path) != row.sha256:
            yield f"its SHA-256 is not the one in {MANIFEST}: the content was changed or damaged"
    try:
        with ShardReader(path) as shard:
            yield from _content_problems(shard)
    except (ApolloError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        yield str(error).removeprefix(f"{path}: ")


def _content_problems(shard: ShardReader) -> Iterator[str]:
    if shard.samples != round(shard.clip_seconds * shard.sample_rate):
        yield f"a clip has {shard.samples} samples, not {shard.clip_seconds} s"
    columns = (shard.requested_kbps, shard.actual_kbps, shard.codec_names, shard.scale)
    if any(len(column) != shard.pairs for column in (shard.target_index, *columns)):
        yield "the columns of /pair differ in length from /codec"
        return
    if shard.pairs and not (
        0 <= shard.target_index.min() <= shard.target_index.max() < shard.targets
    ):
        yield "/pair/target_index points outside /target"
        return
    recipes = shard.recipes()
    if len(recipes) != shard.targets:
        yield f"there are {len(recipes)} recipes for {shard.targets} targets"
    if any(recipe.split != shard.split for recipe in recipes):
        yield "a recipe is of another split than the shard"
    if not (np.isfinite(shard.scale).all() and (shard.scale > 0).all()):
        yield "a scale is not a positive number"
    yield from _stem_problems(shard, recipes)
    for pair in range(shard.pairs):
        coded, clean = shard.read_pair(pair)
        if not (np.isfinite(coded).all() and np.isfinite(clean).all()):
            yield f"pair {pair} holds NaN or infinite samples"
        elif max(np.abs(coded).max(), np.abs(clean).max()) > 1.0 + 1e-4:
            yield f"pair {pair} is above full scale"
        elif not clean.any():
            yield f"the target of pair {pair} is silent"


def _stem_problems(shard: ShardReader, recipes: Sequence[MixRecipe]) -> Iterator[str]:
    """Compare the stems with the recipes, and their sums with the targets."""
    if not shard.has_stems:
        return
    told = [(target, clip.stem_class) for target, row in enumerate(recipes) for clip in row.stems]
    columns = (shard.stem_index, shard.stem_classes, shard.stem_scale)
    if any(len(column) != len(told) for column in columns) or shard.stems != len(told):
        yield f"there are {shard.stems} stems for {len(told)} in the recipes"
        return
    if told != list(zip(shard.stem_index.tolist(), shard.stem_classes.tolist(), strict=True)):
        yield "/stem_index is not as the recipes say"
        return
    for target in np.unique(shard.stem_index).tolist():
        own = np.flatnonzero(shard.stem_index == target).tolist()
        error = sum(shard.read_stem(stem) for stem in own) - to_float(shard.read_target(target))
        # Half a step of int16 for each stem and for the target; a little for float32 sums.
        steps = (1.0 + float(shard.stem_scale[own].sum())) * 0.5 / INT16_FULL_SCALE
        if not np.abs(error).max() <= steps + 1e-5:
            yield f"the stems of target {target} do not sum to it"
