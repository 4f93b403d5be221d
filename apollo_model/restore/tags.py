"""Read the tags of any audio file: texts and pictures.

Texts have their Vorbis comment names, as in FLAC and Opus. Tags that describe the coded sound
(encoder, gapless and loudness notes) are left out, because they would be wrong for the restored
sound.
"""

import base64
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
import mutagen.apev2
import mutagen.asf
import mutagen.flac
import mutagen.id3
import mutagen.mp4

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.audio.tracks import DEMUXERS
from apollo_model.restore.tag_names import (
    BY_ID3,
    BY_MP4,
    MUSICBRAINZ,
    TOTALS,
    is_of_the_coding,
    vorbis_name,
)

_FRONT_COVER = 3
_KINDS_OF_APE = {"front": _FRONT_COVER, "back": 4, "media": 6, "artist": 8}
_FFMPEG_SECONDS = 60.0


@dataclass(frozen=True)
class Picture:
    """A picture: its type as a number of ID3 (3 is the front cover) and its file's bytes."""

    kind: int
    mime: str
    data: bytes


@dataclass(frozen=True)
class Tags:
    """Texts by Vorbis comment name in lower case, and pictures; track numbers as "3/12"."""

    texts: dict[str, list[str]]
    pictures: tuple[Picture, ...] = ()


def read_tags(path: Path) -> Tags:
    """Return a file's tags; none if they are damaged or of an unknown kind."""
    try:
        source = mutagen.File(path)
    except Exception:  # damaged tags are no reason to leave the music unrestored
        source = None
    for read in (_read_known, _read_ape):
        try:
            tags = read(path, source)
        except Exception:  # as above
            continue
        if tags.texts or tags.pictures:
            return tags
    return _read_by_ffmpeg(path)


def _read_known(path: Path, source: Any) -> Tags:
    if source is None or source.tags is None:
        return _tags([], getattr(source, "pictures", []))
    if isinstance(source.tags, mutagen.id3.ID3):
        if source.tags.version[0] == 1 and (full := _read_ape(path, source)).texts:
            return full  # ID3v1 cuts every text at 30 characters
        return _from_id3(source.tags)
    if isinstance(source.tags, mutagen.mp4.MP4Tags):
        return _from_mp4(source.tags)
    if isinstance(source.tags, mutagen.apev2.APEv2):
        return _from_ape(source.tags)
    if isinstance(source.tags, mutagen.asf.ASFTags):
        return _from_asf(source.tags)
    return _from_comments(source)


def _read_ape(path: Path, _source: Any) -> Tags:
    """Read APE tags, which an MP3 file may have beside or instead of ID3."""
    return _from_ape(mutagen.apev2.APEv2(path))


def _tags(texts: Iterable[tuple[str, Iterable[Any]]], pictures: Iterable[Any]) -> Tags:
    """Collect texts under their Vorbis names, and the pictures."""
    found: dict[str, list[str]] = {}
    for name, values in texts:
        if is_of_the_coding(name):
            continue
        known = found.setdefault(vorbis_name(name), [])
        plain = (_text(value) for value in values)
        known.extend(text for text in plain if text and text not in known)
    for number, total in TOTALS:
        totals = found.pop(total, [])
        if totals and "/" not in "".join(found.get(number, [])):
            found[number] = [f"{(found.get(number) or ['0'])[0]}/{totals[0]}"]
    return Tags(
        {name: values for name, values in found.items() if values},
        tuple(Picture(int(art.type), art.mime, art.data) for art in pictures if art.data),
    )


def _text(value: Any) -> str:
    """Return a value as text that every format can hold."""
    return str(value).encode("utf-8", "replace").decode("utf-8").strip("\0")


def _from_id3(tags: mutagen.id3.ID3) -> Tags:
    texts: list[tuple[str, list[Any]]] = []
    for frame in tags.values():
        name = BY_ID3.get(frame.FrameID, "")
        if frame.FrameID == "TXXX":
            name = frame.desc
        elif frame.FrameID == "UFID" and frame.owner == MUSICBRAINZ:
            texts.append(("musicbrainz_trackid", [frame.data.decode("ascii", "replace")]))
        elif frame.FrameID in ("COMM", "USLT") and frame.desc not in ("", "ID3v1 Comment"):
            continue  # notes of programs
        if name:
            values = frame.genres if frame.FrameID == "TCON" else frame.text
            texts.append((name, values if isinstance(values, list) else [values]))
    return _tags(texts, tags.getall("APIC"))


def _from_mp4(tags: mutagen.mp4.MP4Tags) -> Tags:
    texts = []
    for atom, values in tags.items():
        name = BY_MP4.get(atom) or (atom.split(":", 2)[-1] if atom[:4] == "----" else "")
        if name:
            several = values if isinstance(values, list) else [int(values)]
            texts.append((name, [_mp4_text(value) for value in several]))
    png = mutagen.mp4.MP4Cover.FORMAT_PNG
    pictures = [
        Picture(_FRONT_COVER, "image/png" if art.imageformat == png else "image/jpeg", bytes(art))
        for art in tags.get("covr", [])
    ]
    return Tags(_tags(texts, []).texts, tuple(pictures))


def _mp4_text(value: Any) -> str:
    if isinstance(value, tuple):  # (number, of how many)
        return f"{value[0]}/{value[1]}" if value[1] else str(value[0])
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _from_ape(tags: mutagen.apev2.APEv2) -> Tags:
    texts, pictures = [], []
    for name, value in tags.items():
        if value.kind == mutagen.apev2.TEXT:
            texts.append((name, list(value)))
        elif found := re.fullmatch(r"cover art \((\w+)\)", name.lower()):
            data = value.value.partition(b"\0")[2]  # behind the name of the picture's file
            kind = _KINDS_OF_APE.get(found[1], 0)
            pictures.append(Picture(kind, _mime_of(data), data))
    return Tags(_tags(texts, []).texts, tuple(pictures))


def _mime_of(data: bytes) -> str:
    return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"


def _from_asf(tags: mutagen.asf.ASFTags) -> Tags:
    pictures = []
    for value in tags.get("WM/Picture", []):
        # a byte of type, four of length, then two texts of UTF-16 that end with zeros
        found = re.match(rb"(?s)(.).{4}((?:..)*?)\0\0(?:..)*?\0\0", value.value)
        if found:
            mime = found[2].decode("utf-16-le", "replace")
            pictures.append(Picture(found[1][0], mime, value.value[found.end() :]))
    texts: dict[str, list[str]] = {}
    for name, value in tags:
        if not isinstance(value.value, bytes):
            texts.setdefault(name, []).append(str(value))
    return Tags(_tags(texts.items(), []).texts, tuple(pictures))


def _from_comments(source: Any) -> Tags:
    """Read Vorbis comments, of FLAC and Ogg."""
    pictures = list(getattr(source, "pictures", []))
    for block in source.tags.get("metadata_block_picture", []):
        pictures.append(mutagen.flac.Picture(base64.b64decode(block)))
    texts: dict[str, list[str]] = {}
    for name, value in source.tags:
        texts.setdefault(name.lower(), []).append(value)
    return _tags(texts.items(), pictures)


def _read_by_ffmpeg(path: Path) -> Tags:
    """Read the texts that mutagen does not: RIFF INFO in WAV, Matroska, CAF."""
    command = [find_ffmpeg(), "-v", "error", "-nostdin", "-protocol_whitelist", "file"]
    command += ["-format_whitelist", DEMUXERS]
    command += ["-i", f"file:{path.resolve()}", "-f", "ffmetadata", "-"]
    try:
        told = subprocess.run(
            command, capture_output=True, timeout=_FFMPEG_SECONDS, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return Tags({})
    try:
        text = told.decode("utf-8")
    except UnicodeDecodeError:
        text = told.decode("latin-1")
    head = re.split(r"(?m)^\[", text)[0]  # of the file, without its chapters and streams
    pairs = re.findall(r"(?m)^((?:[^=;#\\\n]|\\.)+)=((?:[^\\\n]|\\.|\\\n)*)$", head)
    plain = [tuple(re.sub(r"(?s)\\(.)", r"\1", part) for part in pair) for pair in pairs]
    return _tags([(name, [value]) for name, value in plain], [])
