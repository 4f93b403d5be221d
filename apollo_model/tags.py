"""What a file says about its music, carried from any container to any other.

Texts go by their Vorbis comment names, as FLAC and Opus have them; a table says what ID3
(MP3, WAV) and MP4 call them. What describes the coded sound itself (encoder, gapless and
loudness notes) is left out: it would be untrue of the restored sound.
"""

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.mp4
import mutagen.oggopus
import mutagen.wave

_FRONT_COVER = 3
# Vorbis name, ID3 frame, MP4 atom
_NAMES = (
    ("title", "TIT2", "\xa9nam"),
    ("subtitle", "TIT3", ""),
    ("artist", "TPE1", "\xa9ART"),
    ("album", "TALB", "\xa9alb"),
    ("albumartist", "TPE2", "aART"),
    ("composer", "TCOM", "\xa9wrt"),
    ("lyricist", "TEXT", ""),
    ("conductor", "TPE3", ""),
    ("remixer", "TPE4", ""),
    ("genre", "TCON", "\xa9gen"),
    ("date", "TDRC", "\xa9day"),
    ("tracknumber", "TRCK", "trkn"),
    ("discnumber", "TPOS", "disk"),
    ("grouping", "TIT1", "\xa9grp"),
    ("bpm", "TBPM", "tmpo"),
    ("copyright", "TCOP", "cprt"),
    ("isrc", "TSRC", ""),
    ("language", "TLAN", ""),
    ("organization", "TPUB", ""),
    ("comment", "COMM", "\xa9cmt"),
    ("lyrics", "USLT", "\xa9lyr"),
)
_BY_ID3 = {id3: name for name, id3, _ in _NAMES}
_BY_MP4 = {mp4: name for name, _, mp4 in _NAMES if mp4}
_TO_ID3 = {name: id3 for name, id3, _ in _NAMES}
_OF_THE_CODING = re.compile(
    r"encod|replaygain|r128|itun(smpb|norm|pgap)|metadata_block_picture|coverart|waveformat"
)


@dataclass(frozen=True)
class Picture:
    """A picture: its type in ID3's numbers (3 is the front cover) and its file's bytes."""

    kind: int
    mime: str
    data: bytes


@dataclass(frozen=True)
class Tags:
    """Texts by Vorbis comment name, in lower case, and pictures."""

    texts: dict[str, list[str]]
    pictures: tuple[Picture, ...] = ()


def read_tags(path: Path) -> Tags:
    """Return a file's tags; none where they are damaged or of an unknown kind."""
    try:
        source = mutagen.File(path)
        if source is None or source.tags is None:
            return Tags({}, _flac_pictures(source))
        if isinstance(source.tags, mutagen.id3.ID3):
            return _from_id3(source.tags)
        if isinstance(source.tags, mutagen.mp4.MP4Tags):
            return _from_mp4(source.tags)
        return _from_comments(source)
    except Exception:  # of a damaged tag; it is no reason to leave the music unrestored
        return Tags({})


def _clean(texts: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        name: values
        for name, values in texts.items()
        if values and not _OF_THE_CODING.search(name.replace(" ", ""))
    }


def _from_id3(tags: mutagen.id3.ID3) -> Tags:
    texts: dict[str, list[str]] = {}
    for frame in tags.values():
        name = _BY_ID3.get(frame.FrameID, "")
        if frame.FrameID == "TXXX":
            name = frame.desc.lower()
        if frame.FrameID in ("COMM", "USLT") and frame.desc:
            continue  # programs keep their own notes there
        if name:
            values = frame.text if isinstance(frame.text, list) else [frame.text]
            texts.setdefault(name, []).extend(str(value) for value in values)
    pictures = [Picture(int(art.type), art.mime, art.data) for art in tags.getall("APIC")]
    return Tags(_clean(texts), tuple(pictures))


def _from_mp4(tags: mutagen.mp4.MP4Tags) -> Tags:
    texts: dict[str, list[str]] = {}
    for atom, values in tags.items():
        name = _BY_MP4.get(atom) or (atom.split(":")[-1].lower() if atom[:4] == "----" else "")
        if name:
            texts[name] = [_mp4_text(value) for value in values]
    png = mutagen.mp4.MP4Cover.FORMAT_PNG
    pictures = [
        Picture(_FRONT_COVER, "image/png" if art.imageformat == png else "image/jpeg", bytes(art))
        for art in tags.get("covr", [])
    ]
    return Tags(_clean(texts), tuple(pictures))


def _mp4_text(value: Any) -> str:
    if isinstance(value, tuple):  # (number, of how many)
        return f"{value[0]}/{value[1]}" if value[1] else str(value[0])
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _from_comments(source: Any) -> Tags:
    """Read Vorbis comments (FLAC, Ogg) or APE tags, which are much the same."""
    texts: dict[str, list[str]] = {}
    pictures = list(_flac_pictures(source))
    for name, value in source.tags.items():
        values = list(value) if isinstance(value, (list, tuple)) else str(value).split("\0")
        if name.lower() == "metadata_block_picture":
            blocks = [mutagen.flac.Picture(base64.b64decode(block)) for block in values]
            pictures += [Picture(int(art.type), art.mime, art.data) for art in blocks]
        else:
            texts[name.lower()] = [str(text) for text in values]
    return Tags(_clean(texts), tuple(pictures))


def _flac_pictures(source: Any) -> tuple[Picture, ...]:
    found = getattr(source, "pictures", [])
    return tuple(Picture(int(art.type), art.mime, art.data) for art in found)


def write_tags(path: Path, container: str, tags: Tags) -> None:
    """Put tags into a file of ours that has none: wav, flac, mp3 or opus."""
    if not tags.texts and not tags.pictures:
        return
    target: Any
    if container in ("wav", "mp3"):
        target = mutagen.wave.WAVE(path) if container == "wav" else mutagen.mp3.MP3(path)
        if target.tags is None:
            target.add_tags()
        _fill_id3(target.tags, tags)
    else:
        target = mutagen.flac.FLAC(path) if container == "flac" else mutagen.oggopus.OggOpus(path)
        _fill_comments(target, tags)
    target.save()


def _fill_id3(target: mutagen.id3.ID3, tags: Tags) -> None:
    for name, values in tags.texts.items():
        frame = _TO_ID3.get(name, "TXXX")
        if frame in ("COMM", "USLT"):
            kind = getattr(mutagen.id3, frame)
            target.add(kind(encoding=3, lang="und", desc="", text="\n".join(values)))
        elif frame == "TXXX":
            target.add(mutagen.id3.TXXX(encoding=3, desc=name, text=values))
        else:
            target.add(getattr(mutagen.id3, frame)(encoding=3, text=values))
    for number, art in enumerate(tags.pictures):
        desc = str(number) if number else ""  # ID3 wants them to differ
        target.add(
            mutagen.id3.APIC(encoding=0, mime=art.mime, type=art.kind, desc=desc, data=art.data)
        )


def _fill_comments(target: Any, tags: Tags) -> None:
    for name, values in tags.texts.items():
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
