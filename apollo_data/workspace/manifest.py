"""Manifests in JSON Lines: one stage writes them, the next one reads them.

The first row tells what the file is: kind, schema version, the key of the settings and
inputs it was made from, and the folder that its paths are relative to. Every further row
is one record of `apollo_data.records`.
"""

import dataclasses
import functools
import json
import os
import shutil
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from apollo_data.errors import DataError
from apollo_data.storage import whole_file

FORMAT = "apollo-manifest"
FORMAT_VERSION = 1

Row = TypeVar("Row")


@dataclass(frozen=True)
class Header:
    """First row of a manifest; `root` is relative to the folder that holds the manifest.

    `made_from` holds what the key is a hash of, so that a change can be named: the settings as
    TOML, the keys of other manifests.
    """

    kind: str
    key: str
    root: str = "."
    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    made_from: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Manifest(Generic[Row]):
    """A manifest in memory; `root` is the folder that the rows' paths are relative to."""

    header: Header
    rows: tuple[Row, ...]
    root: Path


def write_manifest(
    path: Path,
    kind: str,
    rows: Iterable[Any],
    key: str,
    root: Path,
    made_from: dict[str, str] | None = None,
) -> None:
    """Write rows (records) as a manifest, whole or not at all.

    Parameters
    ----------
    path
        The manifest.
    kind
        What a row is: ``tracks``, ``activity``, ``mixes``, ``shards``, ``rejects`` and others.
    rows
        Records; any iterable, written one by one.
    key
        Hash of everything the rows follow from.
    root
        The folder that the rows' paths are relative to.
    made_from
        What the key is a hash of; see `Header`.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as out:
        header = Header(kind, key, _relative(root, path), made_from=made_from or {})
        out.write(_header_line(header))
        for row in rows:
            out.write(_line(to_json(row)))


_ENCODER = json.JSONEncoder(separators=(", ", ": "))


def _line(values: dict[str, Any]) -> str:
    # ASCII with escapes keeps even undecodable file names (lone surrogates) readable and exact.
    return _ENCODER.encode(values) + "\n"


def read_header(path: Path) -> Header:
    """Read and check a manifest's first row."""
    try:
        with path.open("rb") as source:
            values = json.loads(source.readline())
    except FileNotFoundError:
        raise DataError(f"{path}: no such manifest; run the stage that writes it") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a manifest ({error})") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise DataError(f"{path}: is not a manifest (its first row names no {FORMAT})")
    if values.get("format_version") != FORMAT_VERSION:
        found = values.get("format_version")
        raise DataError(f"{path}: manifest version {found}, this software reads {FORMAT_VERSION}")
    try:
        header = from_json(Header, values)
        if not all(isinstance(text, str) for text in (header.kind, header.key, header.root)):
            raise TypeError("its kind, key or root is no text")
        return header
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: is not a manifest (its first row: {error})") from None


def iterate_rows(
    path: Path,
    kind: str,
    row_type: type[Row],
    wanted: Callable[[dict[str, Any]], bool] | None = None,
) -> Iterator[Row]:
    """Yield a manifest's records one by one, for those too many to hold at once.

    `wanted` chooses rows by their plain values, which is quicker than to make records of all.
    """
    header = read_header(path)
    if header.kind != kind:
        raise DataError(f"{path}: holds {header.kind}, expected {kind}")
    with path.open("rb") as source:
        source.readline()
        for number, line in enumerate(source, start=2):
            try:
                values = json.loads(line)
                if wanted is None or wanted(values):
                    yield from_json(row_type, values)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise DataError(f"{path}: row {number} cannot be read ({error})") from None


def read_manifest(path: Path, kind: str, row_type: type[Row]) -> Manifest[Row]:
    """Read a whole manifest.

    Raises
    ------
    DataError
        The file is missing, not a manifest, of another kind or version, or has a bad row.
    """
    rows = tuple(iterate_rows(path, kind, row_type))
    header = read_header(path)
    return Manifest(header, rows, root_of(path, header))


def root_of(path: Path, header: Header) -> Path:
    """Return the folder that a manifest's paths are relative to."""
    return Path(os.path.normpath(path.parent / header.root))


def is_current(path: Path, key: str, root: Path | None = None) -> bool:
    """Tell whether `path` is a whole manifest that was made from `key`.

    With `root`, a manifest of the same key whose songs have moved since is pointed to them: its
    rows stay as they are.
    """
    try:
        header = read_header(path)
    except DataError:
        return False
    if header.key != key:
        return False
    if root is not None and root_of(path, header).resolve() != root.resolve():
        _move_root(path, header, root)
    return True


def _move_root(path: Path, header: Header, root: Path) -> None:
    """Write a manifest again with another root in its first row."""
    moved = dataclasses.replace(header, root=_relative(root, path))
    with whole_file(path) as temporary, temporary.open("wb") as out, path.open("rb") as source:
        source.readline()
        out.write(_header_line(moved).encode("ascii"))
        shutil.copyfileobj(source, out)


def _relative(root: Path, manifest: Path) -> str:
    return os.path.relpath(root.resolve(), manifest.parent.resolve())


def _header_line(header: Header) -> str:
    return _line({name: value for name, value in dataclasses.asdict(header).items() if value != {}})


def to_json(record: Any) -> dict[str, Any]:
    """Return a record as plain JSON values; fields that are empty by default are left out."""
    values: dict[str, Any] = {}
    for name, default in _defaults(type(record)):  # type: ignore[arg-type]
        value = getattr(record, name)
        if value != default:
            values[name] = value if type(value) in _PLAIN_TYPES else _plain(value)
    return values


_PLAIN_TYPES = frozenset({str, int, float, bool})  # most values: spared the longer questions


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [item if type(item) in _PLAIN_TYPES else _plain(item) for item in value]
    return to_json(value) if dataclasses.is_dataclass(value) else value


_REQUIRED = object()


@functools.cache
def _defaults(record_type: Any) -> tuple[tuple[str, Any], ...]:
    """Names of a record's fields with what may be left unsaid: None, (), {} and False."""

    def unsaid(field: dataclasses.Field[Any]) -> Any:
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
        return field.default if field.default in (None, (), False) else _REQUIRED

    return tuple((field.name, unsaid(field)) for field in dataclasses.fields(record_type))


def from_json(record_type: type[Row], values: dict[str, Any]) -> Row:
    """Build a record from plain JSON values; unknown names are an error."""
    types_by_name = _types_of(record_type)  # type: ignore[arg-type]
    unknown = values.keys() - types_by_name.keys()
    if unknown:
        raise KeyError(f"unknown name {sorted(unknown)[0]}")
    return record_type(
        **{name: _typed(types_by_name[name], value) for name, value in values.items()}
    )


@functools.cache
def _types_of(record_type: Any) -> dict[str, Any]:
    return typing.get_type_hints(record_type)


def _typed(kind: Any, value: Any) -> Any:
    if isinstance(kind, types.UnionType):
        kind = next(option for option in typing.get_args(kind) if option is not type(None))
        return None if value is None else _typed(kind, value)
    if typing.get_origin(kind) is tuple:
        item = typing.get_args(kind)[0]
        return tuple(_typed(item, part) for part in value)
    if dataclasses.is_dataclass(kind):
        return from_json(typing.cast(type, kind), value)
    return float(value) if kind is float else value
