"""Shards, format version 1: HDF5 files of codec pairs that plain h5py reads.

`docs/formats.md` lists every dataset. Both sides of a pair are divided by one common
factor, the larger of their peaks (arXiv 2409.08514, section III-A); where one target has
several codings, by the largest of all their peaks, so that one stored target serves them
all. The factor is stored, so the original levels can be had back.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from apollo_data.audio import Samples
from apollo_data.errors import DataError
from apollo_data.manifest import from_json, iterate_rows, to_json
from apollo_data.records import SPLITS, Coding, MixRecipe, ShardInfo
from apollo_data.storage import sha256_file

FORMAT = "apollo-shard"
FORMAT_VERSION = 1
MANIFEST = "shards.jsonl"
INT16_FULL_SCALE = 32767.0

_MOST_BITRATES = 20  # told apart by summaries; a range gives nearly every pair its own

_PAIR_TYPES: dict[str, Any] = {
    "target_index": np.int32,
    "requested_kbps": np.float32,
    "actual_kbps": np.float32,
    "codec": h5py.string_dtype(),
    "scale": np.float32,
}


@dataclass(frozen=True)
class ShardHead:
    """What a shard says about itself, beside its rows."""

    split: str
    sample_rate: int
    clip_seconds: float
    samples: int
    dtype: str
    settings: str
    settings_sha256: str
    software: str
    key: str


class ShardWriter:
    """Write one shard row by row; nothing but the caller's rename makes it final.

    Use as a context manager on a temporary path. `complete` is written last, when the
    block has succeeded.
    """

    def __init__(self, path: Path, head: ShardHead, targets: int, pairs: int) -> None:
        self._head = head
        self._file = h5py.File(path, "w")
        row = (2, head.samples)
        for name, count in (("target", targets), ("codec", pairs)):
            self._file.create_dataset(
                name, (count, *row), head.dtype, maxshape=(None, *row), chunks=(1, *row)
            )
        self._recipes: list[str] = []
        self._pairs: dict[str, list[Any]] = {name: [] for name in _PAIR_TYPES}

    def add(
        self, recipe: MixRecipe, target: Samples, coded: Sequence[Samples], actual: Sequence[float]
    ) -> None:
        """Add one target, (2, samples), with its coded forms in the order of `recipe.codings`."""
        scale = common_scale([target, *coded])
        number = len(self._recipes)
        self._file["target"][number] = store(target, scale, self._head.dtype)
        for coding, audio, actual_kbps in zip(recipe.codings, coded, actual, strict=True):
            place = len(self._pairs["scale"])
            self._file["codec"][place] = store(audio, scale, self._head.dtype)
            asked = coding.steps[-1].requested_kbps
            requested_kbps = np.nan if asked is None else asked
            values = (number, requested_kbps, actual_kbps, coding.codecs, scale)
            for column, value in zip(self._pairs.values(), values, strict=True):
                column.append(value)
        self._recipes.append(json.dumps(to_json(recipe), ensure_ascii=True))

    @property
    def targets(self) -> int:
        """Targets written so far."""
        return len(self._recipes)

    @property
    def pairs(self) -> int:
        """Pairs written so far."""
        return len(self._pairs["scale"])

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()

    def _finish(self) -> None:
        self._file["target"].resize(self.targets, axis=0)
        self._file["codec"].resize(self.pairs, axis=0)
        for name, values in self._pairs.items():
            self._file.create_dataset(f"pair/{name}", data=values, dtype=_PAIR_TYPES[name])
        self._file.create_dataset("recipe", data=self._recipes, dtype=h5py.string_dtype())
        head = self._head
        self._file.attrs.update(
            {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "sample_rate": head.sample_rate,
                "clip_seconds": head.clip_seconds,
                "split": head.split,
                "settings": head.settings,
                "settings_sha256": head.settings_sha256,
                "software": head.software,
                "key": head.key,
            }
        )
        self._file.attrs["complete"] = True


def common_scale(sides: Sequence[Samples]) -> float:
    """Return the largest peak of all sides: the factor that both sides are divided by."""
    return float(max(np.abs(side).max() for side in sides))


def store(audio: Samples, scale: float, dtype: str) -> npt.NDArray[Any]:
    """Return audio divided by `scale` as a shard holds it: int16 full scale, or float32."""
    scaled = audio / np.float32(scale)
    if dtype == "float32":
        return scaled
    return np.rint(scaled * np.float32(INT16_FULL_SCALE)).astype(np.int16)


def to_float(stored: npt.NDArray[Any]) -> Samples:
    """Return stored rows as float32 with full scale 1.0."""
    if stored.dtype == np.int16:
        return stored.astype(np.float32) / np.float32(INT16_FULL_SCALE)
    return stored


class ShardReader:
    """One shard, open for reading.

    Attributes
    ----------
    split, sample_rate, samples, key
        As in the shard; `samples` is the length of a clip.
    target_index, requested_kbps, actual_kbps, codec_names, scale
        One entry a pair.
    targets, pairs
        How many there are.

    Raises
    ------
    DataError
        The file is not a whole shard of a version that this software reads.

    Examples
    --------
    >>> with ShardReader(path) as shard:  # doctest: +SKIP
    ...     coded, clean = shard.read_pair(0)  # (2, samples) float32 each
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self._file = h5py.File(self.path, "r")
        except FileNotFoundError:
            raise DataError(f"{self.path}: no such shard") from None
        except OSError as error:
            raise DataError(f"{self.path}: is not an HDF5 file ({error})") from None
        try:
            self._read_head()
        except (KeyError, ValueError, OSError, RuntimeError) as error:
            self._file.close()
            raise DataError(f"{self.path}: is not a whole shard ({error})") from None
        except DataError:
            self._file.close()
            raise

    def _read_head(self) -> None:
        attrs = dict(self._file.attrs)
        if attrs.get("format") != FORMAT:
            raise DataError(f"{self.path}: is HDF5, but no {FORMAT}")
        if attrs["format_version"] != FORMAT_VERSION:
            raise DataError(
                f"{self.path}: shard version {attrs['format_version']}, "
                f"this software reads {FORMAT_VERSION}"
            )
        if not attrs.get("complete"):
            raise DataError(f"{self.path}: was never finished; build it again")
        self.split = str(attrs["split"])
        self.sample_rate = int(attrs["sample_rate"])
        self.clip_seconds = float(attrs["clip_seconds"])
        self.settings = str(attrs["settings"])
        self.software = str(attrs["software"])
        self.key = str(attrs["key"])
        self._target, self._codec = self._file["target"], self._file["codec"]
        self.targets, _channels, self.samples = self._target.shape
        self.pairs = self._codec.shape[0]
        self.target_index = self._file["pair/target_index"][:]
        self.requested_kbps = self._file["pair/requested_kbps"][:]
        self.actual_kbps = self._file["pair/actual_kbps"][:]
        self.codec_names = self._file["pair/codec"].asstr()[:]
        self.scale = self._file["pair/scale"][:]

    def read_pair(self, pair: int) -> tuple[Samples, Samples]:
        """Return (coded, clean), each (2, samples) float32 with full scale 1.0."""
        return to_float(self._codec[pair]), to_float(self._target[self.target_index[pair]])

    def read_target(self, target: int) -> npt.NDArray[Any]:
        """Return one target as it is stored, (2, samples)."""
        return self._target[target]

    def read_coded(self, pair: int) -> npt.NDArray[Any]:
        """Return one coded clip as it is stored, (2, samples)."""
        return self._codec[pair]

    def rows(self, side: str) -> h5py.Dataset:
        """Return ``codec`` or ``target`` as HDF5 holds it, for readers of many rows."""
        return self._file[side]

    def coding(self, pair: int) -> Coding:
        """Return how a pair was to be coded, in full; the columns of /pair say it in short."""
        target = int(self.target_index[pair])
        number = pair - int(np.flatnonzero(self.target_index == target)[0])
        return self.recipe(target).codings[number]

    def recipe(self, target: int) -> MixRecipe:
        """Return how a target was drawn."""
        return from_json(MixRecipe, json.loads(self._file["recipe"].asstr()[target]))

    def recipes(self) -> list[MixRecipe]:
        """Return how all targets were drawn."""
        return [from_json(MixRecipe, json.loads(text)) for text in self._file["recipe"].asstr()[:]]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def find_shards(folder: Path, split: str | None = None) -> list[Path]:
    """Return the shards below a folder (or one file), sorted, of one split or of all.

    Raises
    ------
    DataError
        There is none.
    """
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    places = [folder / split] if split else [folder, *(folder / name for name in SPLITS)]
    found = [path for place in places for path in sorted(place.glob("shard-*.h5"))]
    if not found:
        what = f"shards of split {split!r}" if split else "shards"
        raise DataError(f"{folder}: holds no {what}; build them with apollo-data build-h5")
    return found


@dataclass(frozen=True)
class ShardSummary:
    """What a shard holds, in numbers; `bitrates` counts pairs by "asked=true" kbit/s.

    True is the mean, asked is ``vbr`` where it was a quality; codecs other than MP3 are named.
    """

    path: str
    split: str
    targets: int
    pairs: int
    sample_rate: int
    clip_seconds: float
    bitrates: dict[str, int]
    categories: dict[str, int]
    software: str
    settings: str


def summarise_shard(path: Path) -> ShardSummary:
    """Read what a shard holds, without its samples."""
    with ShardReader(path) as shard:
        categories = Counter(recipe.category for recipe in shard.recipes())
        return ShardSummary(
            path=str(path),
            split=shard.split,
            targets=shard.targets,
            pairs=shard.pairs,
            sample_rate=shard.sample_rate,
            clip_seconds=shard.clip_seconds,
            bitrates=_count_bitrates(shard),
            categories=dict(sorted(categories.items())),
            software=shard.software,
            settings=shard.settings,
        )


def _count_bitrates(shard: ShardReader) -> dict[str, int]:
    """Count pairs by codec, bitrate asked for and mean true bitrate."""
    groups: dict[tuple[str, str], list[int]] = {}
    order = np.lexsort((shard.actual_kbps, shard.requested_kbps, shard.codec_names.astype(str)))
    for pair in order.tolist():
        asked = shard.requested_kbps[pair]
        text = "vbr" if np.isnan(asked) else f"{asked:g}"
        groups.setdefault((str(shard.codec_names[pair]), text), []).append(pair)
    counts: dict[str, int] = {}
    for codec, own in itertools.groupby(groups, key=lambda group: group[0]):
        counts |= _bitrate_lines(shard, codec, {text: groups[codec, text] for _, text in own})
    return counts


def _bitrate_lines(
    shard: ShardReader, codec: str, pairs: dict[str, list[int]]
) -> Iterator[tuple[str, int]]:
    """Yield one line a bitrate; one for all where they were drawn from a range."""
    if len(pairs) > _MOST_BITRATES:
        texts = list(pairs)
        pairs = {f"{texts[0]}..{texts[-1]}": [pair for own in pairs.values() for pair in own]}
    name = "" if codec == "mp3" else f"{codec} "
    for text, own in pairs.items():
        yield f"{name}{text}={round(float(shard.actual_kbps[own].mean()), 1):g}", len(own)


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
    except (DataError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
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
    for pair in range(shard.pairs):
        coded, clean = shard.read_pair(pair)
        if not (np.isfinite(coded).all() and np.isfinite(clean).all()):
            yield f"pair {pair} holds NaN or infinite samples"
        elif max(np.abs(coded).max(), np.abs(clean).max()) > 1.0 + 1e-4:
            yield f"pair {pair} is above full scale"
        elif not clean.any():
            yield f"the target of pair {pair} is silent"
