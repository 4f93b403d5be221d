"""Zip archives unpacked with distrust: all names are checked before the first file is written.

Unpacking goes on after a kill. A file that is there with the size and the CRC-32 which the
archive states is kept: the content says so itself, and no journal can fall out of step with
it. That costs reading the finished files once, which is faster than inflating them again.
"""

import contextlib
import copy
import json
import math
import posixpath
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from apollo_data.console import Advance, Console
from apollo_data.disk_space import readable_bytes, require_free_space
from apollo_data.errors import DataError
from apollo_data.storage import remove_partials, whole_file, write_text

MARKER = ".unpacked.json"
MAX_RATIO = 200.0
_RESERVED = (MARKER, ".lock")
_BLOCK_BYTES = 1 << 20
_MB = 1_000_000
_MAX_LINK_BYTES = 4096
_DRIVE = re.compile(r"[A-Za-z]:")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile and its decompressors raise on damaged or crafted archives.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class _Member:
    info: zipfile.ZipInfo
    path: PurePosixPath


def unpack(
    archive: Path,
    folder: Path,
    console: Console,
    *,
    sha256: str,
    max_ratio: float = MAX_RATIO,
    max_bytes: int | None = None,
) -> int:
    """Unpack a zip archive into a folder that the caller holds the lock of.

    Parameters
    ----------
    archive
        The archive, already verified.
    folder
        Where its files go; missing folders are made.
    console
        Takes progress and notes.
    sha256
        The archive's checksum, by which `is_unpacked` knows the finished folder.
    max_ratio
        How many times larger than the archive its content may be.
    max_bytes
        How large its content may be at all; no limit without.

    Returns
    -------
    int
        Number of files that the archive holds, without the litter of file managers.

    Raises
    ------
    DataError
        The archive is damaged, has a member that would land outside the folder or that is
        no plain file, holds more than allowed or than it states, or the disk is too small.
        Nothing outside `folder` is written in any case, and nothing at all if a name or a
        size is refused.
    """
    remove_partials(folder)
    try:
        with zipfile.ZipFile(archive) as source:
            members = _check_members(source, archive, folder, console)
            total_bytes = _check_sizes(archive, members, max_ratio, max_bytes)
            missing = [item.info.file_size for item in members if not _has_size(folder, item)]
            require_free_space({folder: sum(missing)}, f"unpacking {archive.name}")
            title = f"unpacking {archive.name}"
            with byte_progress(console, title, total_bytes) as advance:
                for member in members:
                    if not _is_there(folder, member, advance):
                        _write_member(source, member, folder, advance)
    except _DAMAGE as error:
        raise _refused(archive, f"is damaged ({error}); download it again") from None
    sizes = {str(member.path): member.info.file_size for member in members}
    marker = {"archive": archive.name, "archive_sha256": sha256, "files": sizes}
    write_text(folder / MARKER, json.dumps(marker, indent=1, ensure_ascii=False))
    return len(members)


def find_unpacked(root: Path) -> list[Path]:
    """Return the folders that an archive was unpacked into: `root`, its children, or none."""
    places = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    return [place for place in places if (place / MARKER).is_file()]


def changed_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, problem) for each file that is no longer as it was unpacked."""
    try:
        sizes = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        yield MARKER, "cannot be read"
        return
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file():
            yield name, "was in the archive and is missing"
        elif (found := path.stat().st_size) != size:
            yield name, f"has {found} bytes, had {size} in the archive"


def is_unpacked(folder: Path, sha256: str) -> bool:
    """Tell whether an archive's files are all in a folder, by its marker and the files' sizes."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        if marker["archive_sha256"] != sha256:
            return False
        return all((folder / name).stat().st_size == size for name, size in marker["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


@contextlib.contextmanager
def byte_progress(console: Console, title: str, total_bytes: int) -> Iterator[Advance]:
    """Show progress in MB; the function that it yields takes bytes."""
    total = max(1, math.ceil(total_bytes / _MB))
    done_bytes = shown = 0
    with console.progress(title, total, "MB") as advance:

        def add(count: int) -> None:
            nonlocal done_bytes, shown
            done_bytes += count
            done = total if done_bytes >= total_bytes else done_bytes // _MB
            if done > shown:
                advance(done - shown)
                shown = done

        yield add


def _refused(archive: Path, why: str) -> DataError:
    return DataError(f"{archive}: {why}")


def _check_members(
    source: zipfile.ZipFile, archive: Path, folder: Path, console: Console
) -> list[_Member]:
    """Return the files to write, in the archive's order; raise if any member is not to be had."""
    members: list[_Member] = []
    litter = links = 0
    for info in sorted(source.infolist(), key=lambda info: info.header_offset):
        path = _safe_path(info, archive)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir() or kind == stat.S_IFDIR:
            continue
        if info.flag_bits & 0x1:
            raise _refused(archive, f"{info.filename!r} is encrypted; refused")
        if info.compress_type not in _METHODS:
            why = f"is packed by method {info.compress_type}, only 0 and 8 are known; refused"
            raise _refused(archive, f"{info.filename!r} {why}")
        if kind == stat.S_IFLNK:
            _check_link(source, info, path, archive)
            links += 1
        elif kind not in (0, stat.S_IFREG):
            raise _refused(archive, f"{info.filename!r} is neither file nor folder; refused")
        elif _is_litter(path):
            litter += 1
        else:
            members.append(_Member(info, path))
    if not members:
        raise _refused(archive, "holds no files")
    _check_places(archive, folder, [member.path for member in members])
    if litter or links:
        console.note(f"{archive.name}: skipping {litter} files of file managers and {links} links")
    return members


def _safe_path(info: zipfile.ZipInfo, archive: Path) -> PurePosixPath:
    """Return the path that a member's name means, relative to the folder and inside it."""
    # The name as it stands in the archive: zipfile cuts `filename` at a NUL.
    name = info.orig_filename
    path = PurePosixPath(name)
    if any(ord(letter) < 32 for letter in name):
        why = "has control characters"
    elif "\\" in name:
        why = "has backslashes"
    elif path.is_absolute() or _DRIVE.match(name):
        why = "is absolute"
    elif ".." in path.parts:
        why = "leads out of the folder"
    elif not path.parts and not info.is_dir():
        why = "is empty"
    else:
        return path
    raise _refused(archive, f"the name {name!r} {why}; refused, nothing was written")


def _check_link(
    source: zipfile.ZipFile, info: zipfile.ZipInfo, path: PurePosixPath, archive: Path
) -> None:
    """Refuse a symbolic link that leads out of the folder; no link is ever made."""
    with source.open(info) as content:
        target = content.read(_MAX_LINK_BYTES).decode("utf-8", "surrogateescape")
    outside = target.startswith("/") or "\\" in target or _DRIVE.match(target)
    end = posixpath.normpath(posixpath.join(path.parent.as_posix(), target))
    if outside or PurePosixPath(end).parts[:1] == ("..",):
        raise _refused(
            archive,
            f"the link {info.filename!r} leads out of the folder, to {target!r}; "
            "refused, nothing was written",
        )


def _is_litter(path: PurePosixPath) -> bool:
    return (
        "__MACOSX" in path.parts
        or path.name in (".DS_Store", "Thumbs.db", "desktop.ini")
        or path.name.startswith("._")
    )


def _check_places(archive: Path, folder: Path, paths: Sequence[PurePosixPath]) -> None:
    """Refuse two members at one place, and places that are taken or lie behind a link."""
    # Letter case is ignored, since some file systems do so too.
    seen: set[str] = set()
    for path in paths:
        place = str(path).casefold()
        if place in seen:
            raise _refused(archive, f"holds {str(path)!r} twice; refused, nothing was written")
        seen.add(place)
    root = folder.resolve()
    for parent in {parent for path in paths for parent in path.parents}:
        if str(parent).casefold() in seen:
            raise _refused(
                archive, f"{str(parent)!r} is a file and a folder; refused, nothing was written"
            )
        if not (folder / parent).resolve().is_relative_to(root):
            raise DataError(f"{folder / parent}: is a link out of {folder}; remove it")
    for path in paths:
        if str(path) in _RESERVED or root / path == archive.resolve():
            raise _refused(archive, f"{str(path)!r} is a name of our own; refused")


def _check_sizes(
    archive: Path, members: Sequence[_Member], max_ratio: float, max_bytes: int | None
) -> int:
    """Return how many bytes the members state; raise if that cannot be meant."""
    archive_bytes = archive.stat().st_size
    total = sum(member.info.file_size for member in members)
    packed = sum(member.info.compress_size for member in members)
    # A single silent stem may well shrink a thousandfold, so the ratio is taken of the whole.
    if total > max_ratio * archive_bytes:
        found = f"{total / archive_bytes:.0f} times its size"
        raise _refused(
            archive,
            f"states to unpack to {readable_bytes(total)}, {found}, at most {max_ratio:.0f} times "
            "are expected; refused, nothing was written",
        )
    if max_bytes is not None and total > max_bytes:
        raise _refused(
            archive,
            f"states to unpack to {readable_bytes(total)}, at most {readable_bytes(max_bytes)} are "
            "expected; refused, nothing was written",
        )
    if packed > archive_bytes:
        raise _refused(archive, "has members that overlap; refused, nothing was written")
    return total


def _has_size(folder: Path, member: _Member) -> bool:
    target = folder / member.path
    if not target.is_file() or target.is_symlink():
        return False
    return target.stat().st_size == member.info.file_size


def _is_there(folder: Path, member: _Member, advance: Advance) -> bool:
    """Tell whether an earlier run wrote this member, by size and CRC-32."""
    if not _has_size(folder, member):
        return False
    crc = 0
    with (folder / member.path).open("rb") as written:
        while block := written.read(_BLOCK_BYTES):
            crc = zlib.crc32(block, crc)
    if crc != member.info.CRC:
        return False
    advance(member.info.file_size)
    return True


def _write_member(source: zipfile.ZipFile, member: _Member, folder: Path, advance: Advance) -> None:
    """Write one file whole or not at all; zipfile compares its CRC-32 at the end."""
    target = folder / member.path
    stated = member.info.file_size
    # zipfile silently cuts a member at the size it is told, so it is told more than is read.
    info = copy.copy(member.info)
    info.file_size += 2 * _BLOCK_BYTES
    try:
        with whole_file(target) as temporary, source.open(info) as content:
            written = 0
            with temporary.open("wb") as output:
                while block := content.read(_BLOCK_BYTES):
                    written += len(block)
                    if written > stated:
                        break
                    output.write(block)
                    advance(len(block))
            if written != stated:
                found = "more" if written > stated else str(written)
                raise zipfile.BadZipFile(
                    f"{info.filename!r} states {stated} bytes and holds {found}"
                )
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written ({error.strerror or error}); run again to go on"
        ) from None
