"""Verification: are shards what shards.jsonl and the format say."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from apollo_data.errors import ApolloError, DataError
from apollo_data.records import MixRecipe, ShardInfo
from apollo_data.shards.layout import INT16_FULL_SCALE, to_float
from apollo_data.shards.reader import DamagedShardError, ShardReader, find_shards
from apollo_data.storage import sha256_file
from apollo_data.workspace.manifest import iterate_rows

MANIFEST = "shards.jsonl"

MISSING, UNREADABLE, DAMAGED = "missing", "unreadable", "damaged"
"""Kinds of problems: not there or not listed; could not be read; the content is wrong."""


class Problem(str):
    """One line about what is wrong with a shard, with its kind."""

    kind: str

    def __new__(cls, text: str, kind: str = DAMAGED) -> "Problem":
        """Return the line; its kind is one of `MISSING`, `UNREADABLE`, `DAMAGED`."""
        problem = super().__new__(cls, text)
        problem.kind = kind
        return problem


def find_shard_manifest(path: Path) -> Path | None:
    """Return the shards.jsonl that lists a shard or a folder of shards, or None."""
    place = path.resolve()
    folders = [*place.parents][:3] if path.is_file() else [place, *place.parents][:3]
    manifests = (folder / MANIFEST for folder in folders)
    return next((manifest for manifest in manifests if manifest.is_file()), None)


def verify_shards(path: Path) -> Iterator[tuple[Path, list[Problem]]]:
    """Check a shard or a folder of shards against shards.jsonl and the format.

    Yields
    ------
    path, problems
        Each shard, listed or found, with one `Problem` for each thing that is wrong.

    Raises
    ------
    DataError
        There is no such file or folder, or no shard in it.
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
    expected = {item for item in listed if item == inside or inside in item.parents}
    is_whole_search = path.is_file() or not expected
    found = find_shards(path) if is_whole_search else path.rglob("shard-*.h5")
    for shard in sorted(expected.union(item.resolve() for item in found)):
        yield shard, list(_problems(shard, listed.get(shard), bool(listed)))


_REMEDIES = {
    DAMAGED: "damaged (delete them and run build-h5 again)",
    MISSING: "missing or not listed (run build-h5 again)",
    UNREADABLE: "unreadable, which says nothing about their content (see the lines above)",
}


def describe_problems(problems: Mapping[str, Sequence[Problem]]) -> str:
    """Return how many shards have which kind of problem, and what to do.

    Examples
    --------
    >>> describe_problems({"a.h5": [Problem("is missing", MISSING)]})
    '1 missing or not listed (run build-h5 again)'
    """
    worst = (DAMAGED, UNREADABLE, MISSING)
    kinds = [
        next(kind for kind in worst if any(problem.kind == kind for problem in found))
        for found in problems.values()
    ]
    counts = {kind: kinds.count(kind) for kind in worst if kind in kinds}
    return ", ".join(f"{count} {_REMEDIES[kind]}" for kind, count in counts.items())


def _problems(path: Path, row: ShardInfo | None, has_manifest: bool) -> Iterator[Problem]:
    if not path.is_file():
        yield Problem(f"is missing, but {MANIFEST} lists it", MISSING)
        return
    if row is None and has_manifest:
        yield Problem(f"is not listed in {MANIFEST}", MISSING)
    try:
        if row is not None:
            yield from _file_problems(path, row)
        with ShardReader(path) as shard:
            yield from map(Problem, _content_problems(shard))
    except DamagedShardError as error:
        yield Problem(str(error).removeprefix(f"{path}: "))
    except ApolloError as error:  # a missing plugin, another version, no permission
        yield Problem(str(error).removeprefix(f"{path}: "), UNREADABLE)
    except OSError as error:
        # HDF5 gives no error number when its own checks of the content fail.
        kind = UNREADABLE if error.errno else DAMAGED
        yield Problem(f"cannot be read ({str(error).splitlines()[0]})", kind)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        yield Problem(f"cannot be read ({error})")


def _file_problems(path: Path, row: ShardInfo) -> Iterator[Problem]:
    size = path.stat().st_size
    if size != row.bytes:
        yield Problem(f"has {size} bytes, {MANIFEST} says {row.bytes}")
    elif sha256_file(path) != row.sha256:
        yield Problem(f"its SHA-256 is not the one in {MANIFEST}: it was changed or damaged")


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
        # Half a step of int16 for each stem and the target, and the rounding of float32 sums.
        steps = (1.0 + float(shard.stem_scale[own].sum())) * 0.5 / INT16_FULL_SCALE
        if not np.abs(error).max() <= steps + 1e-5:
            yield f"the stems of target {target} do not sum to it"
