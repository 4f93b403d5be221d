"""What a file says about its music, carried from any container to any other.

Texts go by their Vorbis comment names, as FLAC and Opus have them. What describes the coded
sound itself (encoder, gapless and loudness notes) is left out: it would be untrue of the
restored sound.
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
import mutagen.mp3
import mutagen.mp4
import mutagen.oggopus
import mutagen.wave

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.audio.files import DEMUXERS
from apollo_model.restore.tag_names import (
    BY_ID3,
    BY_MP4,
    MUSICBRAINZ,
    TO_ID3,
    TOTALS,
    id3_description,
    is_of_the_coding,
    vorbis_name,
)

_FRONT_COVER = 3
_KINDS_OF_APE = {"front": _FRONT_COVER, "back": 4, "media": 6, "artist": 8}
_MAX_FLAC_PICTURE_BYTES = (1 << 24) - (1 << 10)  # a block's length has 24 bits
_FFMPEG_SECONDS = 60.0


@dataclass(frozen=True)
class Picture:
    """A picture: its type in ID3's numbers (3 is the front cover) and its file's bytes."""

    kind: int
    mime: str
    data: bytes


@dataclass(frozen=True)
class Tags:
    """Texts by Vorbis comment name, in lower case, and pictures; numbers as "3/12"."""

    texts: dict[str, list[str]]
    pictures: tuple[Picture, ...] = ()


def read_tags(path: Path) -> Tags:
    """Return a file's tags; none where they are damaged or of an unknown kind."""
    try:
        source = mutagen.File(path)
    except Exception:  # of a damaged tag; it is no reason to leave the music unrestored
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
    """Gather texts under their Vorbis names, and mutagen's pictures."""
    found: dict[str, list[str]] = {}
    for name, values in texts:
        if is_of_the_coding(name):
            continue
        known = found.setdefault(vorbis_name(name), [])
        plain = (str(value).strip("\0") for value in values)
        known.extend(text for text in plain if text and text not in known)
    for number, total in TOTALS:
        totals = found.pop(total, [])
        if totals and "/" not in "".join(found.get(number, [])):
            found[number] = [f"{(found.get(number) or ['0'])[0]}/{totals[0]}"]
    return Tags(
        {name: values for name, values in found.items() if values},
        tuple(Picture(int(art.type), art.mime, art.data) for art in pictures if art.data),
    )


def _from_id3(tags: mutagen.id3.ID3) -> Tags:
    texts: list[tuple[str, list[Any]]] = []
    for frame in tags.values():
        name = BY_ID3.get(frame.FrameID, "")
        if frame.FrameID == "TXXX":
            name = frame.desc
        elif frame.FrameID == "UFID" and frame.owner == MUSICBRAINZ:
            texts.append(("musicbrainz_trackid", [frame.data.decode("ascii", "replace")]))
        elif frame.FrameID in ("COMM", "USLT") and frame.desc not in ("", "ID3v1 Comment"):
            continue  # programs keep their own notes there
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
    """Read texts of kinds that mutagen does not know: RIFF's own in WAV, Matroska, CAF."""
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
    head = re.split(r"(?m)^\[", text)[0]  # without chapters and streams
    pairs = re.findall(r"(?m)^((?:[^=;#\\\n]|\\.)+)=((?:[^\\\n]|\\.|\\\n)*)$", head)
    plain = [tuple(re.sub(r"(?s)\\(.)", r"\1", part) for part in pair) for pair in pairs]
    return _tags([(name, [value]) for name, value in plain], [])


def write_tags(path: Path, container: str, tags: Tags) -> int:
    """Put tags into a file of ours that has none: wav, flac, mp3 or opus.

    Returns
    -------
    int
        How many pictures the container cannot hold: FLAC's end at 16 MB.
    """
    if not tags.texts and not tags.pictures:
        return 0
    target: Any
    fitting = tags.pictures
    if container in ("wav", "mp3"):
        target = mutagen.wave.WAVE(path) if container == "wav" else mutagen.mp3.MP3(path)
        if target.tags is None:
            target.add_tags()
        _fill_id3(target.tags, tags)
    else:
        fitting = tuple(art for art in fitting if len(art.data) <= _MAX_FLAC_PICTURE_BYTES)
        target = mutagen.flac.FLAC(path) if container == "flac" else mutagen.oggopus.OggOpus(path)
        _fill_comments(target, Tags(tags.texts, fitting))
    target.save()
    return len(tags.pictures) - len(fitting)


def _fill_id3(target: mutagen.id3.ID3, tags: Tags) -> None:
    for name, values in tags.texts.items():
        frame = TO_ID3.get(name, "TXXX")
        if name == "musicbrainz_trackid":
            data = values[0].encode("ascii", "replace")
            target.add(mutagen.id3.UFID(owner=MUSICBRAINZ, data=data))
        elif frame in ("COMM", "USLT"):
            kind = getattr(mutagen.id3, frame)
            target.add(kind(encoding=3, lang="und", desc="", text="\n".join(values)))
        elif frame == "TXXX" or not _can_hold(frame, values):
            description = id3_description(name)
            target.add(mutagen.id3.TXXX(encoding=3, desc=description, text=values))
        else:
            target.add(getattr(mutagen.id3, frame)(encoding=3, text=values))
    for number, art in enumerate(tags.pictures):
        desc = str(number) if number else ""  # ID3 wants them to differ
        target.add(
            mutagen.id3.APIC(encoding=0, mime=art.mime, type=art.kind, desc=desc, data=art.data)
        )


def _can_hold(frame: str, values: list[str]) -> bool:
    """Tell whether a frame has room for texts: those of dates hold years, months and so on."""
    if frame not in ("TDRC", "TDOR"):
        return True
    return all(re.match(r"\d{4}(\D|$)", value) for value in values)


def _fill_comments(target: Any, tags: Tags) -> None:
    texts = dict(tags.texts)
    for number, total in TOTALS:
        if found := re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", "".join(texts.get(number, []))):
            texts[number], texts[total] = [found[1]], [found[2]]
    for name, values in texts.items():
        if re.fullmatch(r"[ -<>-}]+", name):  # what a Vorbis comment may be called
            target[name] = values
    blocks = []
    for art in tags.pictures:
        block = mutagen.flac.Picture()
        block.type, block.mime, block.data = art.kind, art.mime, art.data
        blocks.append(block)
    if isinstance(target, mutagen.flac.FLAC):
        for block in blocks:
            target.add_picture(block)
    elif blocks:
        coded = [base64.b64encode(block.write()).decode("ascii") for block in blocks]
        target["metadata_block_picture"] = coded
