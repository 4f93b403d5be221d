"""MP3 frame headers and the bitrate that they declare."""

from collections.abc import Iterator
from dataclasses import dataclass

from apollo_data.errors import AudioError


def mp3_bitrate_kbps(stream: bytes) -> float:
    """Return the mean bitrate that the audio frames of an MP3 stream declare, in kbit/s.

    All frames have the same duration, so the mean over frames is the mean over time, for
    constant and variable bitrate. The first frame, which holds the gapless tag and no audio,
    is not counted.

    Raises
    ------
    AudioError
        There is no frame, or there are other bytes between frames.
    """
    bitrates = [frame.bitrate_kbps for frame in mp3_frames(stream)]
    if len(bitrates) < 2:
        raise AudioError("the coded stream holds no MP3 frames")
    return sum(bitrates[1:]) / (len(bitrates) - 1)


@dataclass(frozen=True)
class Mp3Frame:
    """One frame header of ISO/IEC 11172-3 or 13818-3, layer III."""

    offset: int
    bytes: int
    bitrate_kbps: int
    sample_rate: int
    samples: int


_MPEG1_KBPS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBPS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG1_RATES = (44100, 48000, 32000)


def mp3_frames(stream: bytes) -> Iterator[Mp3Frame]:
    """Yield the frames of an MP3 stream, which may begin with an ID3v2 tag."""
    offset = _skip_id3(stream)
    while offset + 4 <= len(stream):
        if stream[offset : offset + 3] == b"TAG":
            return
        frame = _parse_header(stream, offset)
        yield frame
        offset += frame.bytes


def _skip_id3(stream: bytes) -> int:
    if stream[:3] != b"ID3":
        return 0
    size = 0
    for byte in stream[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _parse_header(stream: bytes, offset: int) -> Mp3Frame:
    header = int.from_bytes(stream[offset : offset + 4], "big")
    version, layer = header >> 19 & 3, header >> 17 & 3
    bitrate_index, rate_index = header >> 12 & 15, header >> 10 & 3
    if header >> 21 != 0x7FF or layer != 1 or version == 1 or bitrate_index in (0, 15):
        raise AudioError(f"no MP3 frame at byte {offset} of the coded stream")
    if rate_index == 3:
        raise AudioError(f"an MP3 frame of unknown sample rate at byte {offset}")
    mpeg1 = version == 3
    bitrate = (_MPEG1_KBPS if mpeg1 else _MPEG2_KBPS)[bitrate_index]
    rate = _MPEG1_RATES[rate_index] // {3: 1, 2: 2, 0: 4}[version]
    samples = 1152 if mpeg1 else 576
    size = samples // 8 * bitrate * 1000 // rate + (header >> 9 & 1)
    return Mp3Frame(offset, size, bitrate, rate, samples)
