"""MP4 boxes (ISO/IEC 14496-12): the sizes of an AAC stream's frames, and its bitrate."""

import struct
from collections.abc import Iterator

from apollo_data.errors import AudioError

_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_AAC_FRAME_SAMPLES = 1024


def mp4_boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, content) of the boxes that lead to a track's tables, outer ones first."""
    offset = 0
    while offset + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, offset)
        start = offset + 8
        if size == 1 and offset + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = offset + size if size else len(data)
        if end < start or end > len(data):
            raise AudioError(f"no whole MP4 box at byte {offset}")
        yield kind, data[start:end]
        if kind in _CONTAINERS:
            yield from mp4_boxes(data[start:end])
        offset = end


def mp4_bitrate_kbps(stream: bytes) -> float:
    """Return the bitrate of an AAC stream in kbit/s: the bits of its frames by their duration.

    The container's own bytes are not counted.

    Raises
    ------
    AudioError
        The file holds no table of frames.
    """
    boxes = dict(mp4_boxes(stream))
    try:
        rate, sizes = _time_scale(boxes[b"mdhd"]), _sample_sizes(boxes[b"stsz"])
    except (KeyError, struct.error):
        raise AudioError("the coded stream is no MP4 file with an audio track") from None
    if not sizes or not rate:
        raise AudioError("the coded stream holds no AAC frames")
    return sum(sizes) * 8 / 1000 / (len(sizes) * _AAC_FRAME_SAMPLES / rate)


def _time_scale(mdhd: bytes) -> int:
    """Return the track's time units per second; for audio, the sample rate."""
    (rate,) = struct.unpack_from(">I", mdhd, 20 if mdhd[:1] == b"\x01" else 12)
    return rate


def _sample_sizes(stsz: bytes) -> tuple[int, ...]:
    common, count = struct.unpack_from(">II", stsz, 4)
    return (common,) * count if common else struct.unpack_from(f">{count}I", stsz, 12)
