"""Write tags into our results, under the names that players look for in each format."""

import base64
import re
from pathlib import Path
from typing import Any

import mutagen.aiff
import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.mp4
import mutagen.oggopus
import mutagen.oggvorbis
import mutagen.wave

from apollo_model.restore.tag_names import (
    MUSICBRAINZ,
    TO_ID3,
    TO_MP4,
    TOTALS,
    free_description,
)
from apollo_model.restore.tags import Picture, Tags

_MAX_FLAC_PICTURE_BYTES = (1 << 24) - (1 << 10)  # a block's length has 24 bits
_ID3_FILES = {
    "wav": mutagen.wave.WAVE,
    "aiff": mutagen.aiff.AIFF,
    "mp3": mutagen.mp3.MP3,
}
_COMMENT_FILES = {
    "flac": mutagen.flac.FLAC,
    "ogg": mutagen.oggvorbis.OggVorbis,
    "opus": mutagen.oggopus.OggOpus,
}
_MP4_PICTURES = {
    "image/png": mutagen.mp4.MP4Cover.FORMAT_PNG,
    "image/jpeg": mutagen.mp4.MP4Cover.FORMAT_JPEG,
}


def write_tags(path: Path, container: str, tags: Tags) -> int:
    """Write tags into a result that has none.

    Returns
    -------
    int
        How many pictures are left out, because the format cannot hold them: FLAC, Ogg Vorbis
        and Opus end at 16 MB, MP4 knows JPEG and PNG.
    """
    if not tags.texts and not tags.pictures:
        return 0
    target: Any
    fitting = tags.pictures
    if container in _ID3_FILES:
        target = _ID3_FILES[container](path)
        if target.tags is None:
            target.add_tags()
        _fill_id3(target.tags, tags)
    elif container == "m4a":
        fitting = tuple(art for art in fitting if art.mime in _MP4_PICTURES)
        target = mutagen.mp4.MP4(path)
        _fill_mp4(target, Tags(tags.texts, fitting))
    else:
        fitting = tuple(art for art in fitting if len(art.data) <= _MAX_FLAC_PICTURE_BYTES)
        target = _COMMENT_FILES[container](path)
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
            description = free_description(name)
            target.add(mutagen.id3.TXXX(encoding=3, desc=description, text=values))
        else:
            target.add(getattr(mutagen.id3, frame)(encoding=3, text=values))
    for number, art in enumerate(tags.pictures):
        desc = str(number) if number else ""  # ID3 wants them to differ
        target.add(
            mutagen.id3.APIC(encoding=0, mime=art.mime, type=art.kind, desc=desc, data=art.data)
        )


def _can_hold(frame: str, values: list[str]) -> bool:
    """Tell whether a frame can hold texts: frames of dates hold years, months and so on."""
    if frame not in ("TDRC", "TDOR"):
        return True
    return all(re.match(r"\d{4}(\D|$)", value) for value in values)


def _fill_mp4(target: mutagen.mp4.MP4, tags: Tags) -> None:
    for name, values in tags.texts.items():
        atom = TO_MP4.get(name, "")
        found = _mp4_values(atom, values) if atom else None
        if found is None:
            atom = f"----:com.apple.iTunes:{free_description(name)}"
            found = [value.encode("utf-8") for value in values]
        target[atom] = found
    if tags.pictures:
        target["covr"] = [
            mutagen.mp4.MP4Cover(art.data, _MP4_PICTURES[art.mime]) for art in tags.pictures
        ]


def _mp4_values(atom: str, values: list[str]) -> Any:
    """Return texts as an MP4 atom holds them; None where it cannot."""
    first = values[0].strip()
    if atom in ("trkn", "disk"):
        pair = re.fullmatch(r"(\d{1,4})(?:\s*/\s*(\d{1,4}))?", first)
        return [(int(pair[1]), int(pair[2] or 0))] if pair else None
    if atom == "cpil":
        return first == "1" if first in ("0", "1") else None
    if atom == "tmpo":
        return [int(first)] if re.fullmatch(r"\d{1,4}", first) else None
    return values


def _fill_comments(target: Any, tags: Tags) -> None:
    texts = dict(tags.texts)
    for number, total in TOTALS:
        if found := re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", "".join(texts.get(number, []))):
            texts[number], texts[total] = [found[1]], [found[2]]
    for name, values in texts.items():
        if re.fullmatch(r"[ -<>-}]+", name):  # the characters of a Vorbis comment's name
            target[name] = values
    blocks = [_picture_block(art) for art in tags.pictures]
    if isinstance(target, mutagen.flac.FLAC):
        for block in blocks:
            target.add_picture(block)
    elif blocks:
        coded = [base64.b64encode(block.write()).decode("ascii") for block in blocks]
        target["metadata_block_picture"] = coded


def _picture_block(art: Picture) -> mutagen.flac.Picture:
    block = mutagen.flac.Picture()
    block.type, block.mime, block.data = art.kind, art.mime, art.data
    return block
