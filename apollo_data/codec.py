"""Codec pairs: what a listener of a coded file hears, aligned to the sample with the original.

Many clips travel through one ffmpeg process each way. MP3 is written to a seekable file,
because only there LAME leaves the gapless tag by which the decoder takes away the codec's
delay and padding: the decoded clip then begins and ends exactly where the original did.

24 kbit/s does not exist in MPEG-1 layer III (44.1 kHz starts at 32 kbit/s). It is written
as MPEG-2 at 22.05 kHz, and really is 24; or, with the paper's clamp, as the paper's tools
wrote it: at 44.1 kHz, where the stream holds 32.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np
import soxr

from apollo_data.audio import Samples, run_ffmpeg
from apollo_data.errors import AudioError
from apollo_data.records import Coding
from apollo_data.settings import CodecSettings

BATCH_CLIPS = 32
_MEMORY_FOLDER = Path("/dev/shm")
_MIN_FREE_BYTES = 1 << 30
_LOWEST_MPEG1_KBPS = 32
_HALF_RATE = 22050


@dataclass(frozen=True)
class CodedClip:
    """One decoded clip: (2, samples) float32 and the bitrate that its stream really has."""

    audio: Samples
    actual_kbps: float


def round_trip(
    clips: Sequence[Samples], codings: Sequence[Coding], rate: int, settings: CodecSettings
) -> list[CodedClip]:
    """Encode and decode clips, each by its own coding.

    Parameters
    ----------
    clips
        (2, samples) float32 each; levels above full scale are kept, as nothing in the way
        is limited to it.
    codings
        How each clip is coded.
    rate
        Their sample rate in hertz.
    settings
        The pipeline's.

    Returns
    -------
    list of CodedClip
        In the order of `clips`, each exactly as long as its original and in time with it.

    Raises
    ------
    AudioError
        ffmpeg failed, took too long, or gave back another length.
    """
    coded: list[CodedClip] = []
    for first in range(0, len(clips), BATCH_CLIPS):
        batch = slice(first, first + BATCH_CLIPS)
        with _work_folder() as folder:
            coded += _round_trip_batch(clips[batch], codings[batch], rate, settings, folder)
    return coded


@contextlib.contextmanager
def _work_folder() -> Iterator[Path]:
    """Yield a folder for short-lived files: in memory where there is room for them."""
    place = None
    with contextlib.suppress(OSError):
        room = os.statvfs(_MEMORY_FOLDER)
        if room.f_bavail * room.f_frsize >= _MIN_FREE_BYTES and os.access(_MEMORY_FOLDER, os.W_OK):
            place = _MEMORY_FOLDER
    with tempfile.TemporaryDirectory(prefix="apollo-codec-", dir=place) as folder:
        yield Path(folder)


def _round_trip_batch(
    clips: Sequence[Samples],
    codings: Sequence[Coding],
    rate: int,
    settings: CodecSettings,
    folder: Path,
) -> list[CodedClip]:
    rates = [coded_rate(coding, rate, settings) for coding in codings]
    sent = [_resample(clip, rate, new) for clip, new in zip(clips, rates, strict=True)]
    raw = [folder / f"{number}.f32" for number in range(len(clips))]
    streams = [folder / f"{number}.mp3" for number in range(len(clips))]
    for file, clip in zip(raw, sent, strict=True):
        clip.T.astype("<f4").tofile(file)
    run_ffmpeg(_encode_graph(raw, rates, streams, codings), settings.timeout_seconds)
    run_ffmpeg(_decode_graph(streams, raw), settings.timeout_seconds)
    coded: list[CodedClip] = []
    for number, clip in enumerate(clips):
        heard = np.fromfile(raw[number], "<f4").reshape(-1, 2).T
        if heard.shape != sent[number].shape:
            raise AudioError(
                f"{codings[number].codec} at {codings[number].requested_kbps:g} kbit/s gave "
                f"{heard.shape[1]} samples for {sent[number].shape[1]}"
            )
        audio = _resample(heard, rates[number], rate)[:, : clip.shape[1]]
        coded.append(CodedClip(audio, mp3_bitrate_kbps(streams[number].read_bytes())))
    return coded


def coded_rate(coding: Coding, rate: int, settings: CodecSettings) -> int:
    """Return the sample rate at which the stream can really have the bitrate."""
    too_low = coding.requested_kbps < _LOWEST_MPEG1_KBPS and rate > _HALF_RATE
    return _HALF_RATE if too_low and not settings.paper_clamp else rate


def _resample(audio: Samples, rate: int, new_rate: int) -> Samples:
    return audio if rate == new_rate else soxr.resample(audio.T, rate, new_rate).T


def _encode_graph(
    raw: Sequence[Path], rates: Sequence[int], streams: Sequence[Path], codings: Sequence[Coding]
) -> ffmpeg.nodes.OutputStream:
    outputs = [
        ffmpeg.input(str(source), format="f32le", ac=2, ar=rate).output(
            str(stream),
            format="mp3",
            acodec="libmp3lame",
            audio_bitrate=f"{coding.requested_kbps:g}k",
        )
        for source, rate, stream, coding in zip(raw, rates, streams, codings, strict=True)
    ]
    return ffmpeg.merge_outputs(*outputs)


def _decode_graph(streams: Sequence[Path], raw: Sequence[Path]) -> ffmpeg.nodes.OutputStream:
    outputs = [
        ffmpeg.input(str(stream), format="mp3", protocol_whitelist="file,pipe").output(
            str(file), format="f32le", acodec="pcm_f32le"
        )
        for stream, file in zip(streams, raw, strict=True)
    ]
    return ffmpeg.merge_outputs(*outputs)


def mp3_bitrate_kbps(stream: bytes) -> float:
    """Return the mean bitrate that the audio frames of an MP3 stream state, in kbit/s.

    The first frame, which carries the gapless tag and no sound, does not count.

    Raises
    ------
    AudioError
        There is no frame, or bytes between the frames.
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
