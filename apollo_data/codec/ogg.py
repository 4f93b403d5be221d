"""Ogg pages (RFC 3533): the packets of an Opus or Vorbis stream, and its bitrate."""

from collections.abc import Iterator
from dataclasses import dataclass

from apollo_data.errors import AudioError

_OPUS_RATE = 48_000  # Opus counts time at 48 kHz for any input rate (RFC 7845, section 4)
_OPUS_HEADERS, _VORBIS_HEADERS = 2, 3
_VORBIS_RATE = slice(12, 16)
_PAGE_HEADER = 27


@dataclass(frozen=True)
class OggPage:
    """One page: its granule position, its bytes, and the lengths of the segments in it."""

    granule: int
    body: bytes
    segments: bytes


def ogg_pages(stream: bytes) -> Iterator[OggPage]:
    """Yield the pages of an Ogg file.

    Raises
    ------
    AudioError
        There is something else than a page, or a page is cut off.
    """
    offset = 0
    while offset < len(stream):
        header = stream[offset : offset + _PAGE_HEADER]
        if len(header) < _PAGE_HEADER or header[:4] != b"OggS":
            raise AudioError(f"no Ogg page at byte {offset} of the coded stream")
        first = offset + _PAGE_HEADER
        segments = stream[first : first + header[26]]
        first += header[26]
        offset = first + sum(segments)
        if len(segments) < header[26] or offset > len(stream):
            raise AudioError(f"the coded stream ends within the Ogg page before byte {offset}")
        granule = int.from_bytes(header[6:14], "little", signed=True)
        yield OggPage(granule, stream[first:offset], segments)


def ogg_packets(pages: Iterator[OggPage]) -> Iterator[tuple[bytes, int]]:
    """Yield each packet with the granule position of the page on which it ends."""
    packet = b""
    for page in pages:
        place = 0
        for length in page.segments:
            packet += page.body[place : place + length]
            place += length
            if length < 255:  # a full segment means that the packet continues
                yield packet, page.granule
                packet = b""


def ogg_bitrate_kbps(stream: bytes) -> float:
    """Return the bitrate in kbit/s: the bits of the audio packets by the stream's duration.

    Headers, comments and page headers are not counted.

    Raises
    ------
    AudioError
        The stream is neither Opus nor Vorbis, or holds no sound.
    """
    packets = list(ogg_packets(ogg_pages(stream)))
    head = packets[0][0] if packets else b""
    if head.startswith(b"OpusHead"):
        rate, headers = _OPUS_RATE, _OPUS_HEADERS
    elif head.startswith(b"\x01vorbis"):
        rate, headers = int.from_bytes(head[_VORBIS_RATE], "little"), _VORBIS_HEADERS
    else:
        raise AudioError("the coded stream is neither Opus nor Vorbis")
    audio = packets[headers:]
    if not audio or audio[-1][1] <= 0 or rate <= 0:
        raise AudioError("the coded stream holds no audio packets")
    return sum(len(packet) for packet, _ in audio) * 8 / 1000 / (audio[-1][1] / rate)
