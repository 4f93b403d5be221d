"""Codecs: the encoder, container, sample rate and ffmpeg options of each."""

import functools
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.codec.mp3 import mp3_bitrate_kbps
from apollo_data.codec.mp4 import mp4_bitrate_kbps
from apollo_data.codec.ogg import ogg_bitrate_kbps
from apollo_data.errors import ToolError
from apollo_data.records import Coding

_LOWEST_MPEG1_KBPS = 32
_HALF_RATE = 22_050
_OPUS_RATE = 48_000


@dataclass(frozen=True)
class Format:
    """A codec's encoder and container, by ffmpeg's names, and how its true bitrate is read.

    `keeps_level` tells that levels above full scale are coded without clipping.
    `tail_samples` are appended before encoding and removed after decoding, because the decoder
    may drop as many at the stream's end.
    """

    encoder: str
    muxer: str
    demuxer: str
    bitrate_kbps: Callable[[bytes], float]
    keeps_level: bool = False
    tail_samples: int = 0


FORMATS = {
    "mp3": Format("libmp3lame", "mp3", "mp3", mp3_bitrate_kbps, keeps_level=True),
    "aac": Format("aac", "mp4", "mov", mp4_bitrate_kbps),
    "opus": Format("libopus", "ogg", "ogg", ogg_bitrate_kbps),
    # ffmpeg's decoder drops the last 128 or 256 samples of some streams.
    "vorbis": Format("libvorbis", "ogg", "ogg", ogg_bitrate_kbps, tail_samples=1024),
}


def require_encoders(codecs: Iterable[str]) -> None:
    """Check that the ffmpeg in use can write these codecs.

    Raises
    ------
    ToolError
        A codec is unknown, or its encoder is missing.
    """
    ffmpeg = find_ffmpeg()
    for codec in sorted(set(codecs) - {"mp3"}):  # find_ffmpeg has checked MP3's encoder
        if codec not in FORMATS:
            raise ToolError(f"codec {codec!r} is unknown; known are {', '.join(FORMATS)}")
        encoder = FORMATS[codec].encoder
        if encoder not in _encoders(ffmpeg):
            raise ToolError(
                f"{ffmpeg}: has no encoder {encoder}, which codec {codec!r} needs; "
                f"name an ffmpeg that has it in $APOLLO_FFMPEG, or code without {codec!r}"
            )


@functools.cache
def _encoders(ffmpeg: str) -> frozenset[str]:
    """Return the names in ffmpeg's list of encoders: the second word of each line."""
    listed = subprocess.run(
        [ffmpeg, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=60
    ).stdout
    return frozenset(words[1] for line in listed.splitlines() if len(words := line.split()) > 1)


def coded_rate(coding: Coding, rate: int, paper_clamp: bool) -> int:
    """Return the sample rate at which the codec has the requested bitrate."""
    if coding.codec == "opus":
        return _OPUS_RATE
    kbps = coding.requested_kbps
    too_low = kbps is not None and kbps < _LOWEST_MPEG1_KBPS and rate > _HALF_RATE
    return _HALF_RATE if coding.codec == "mp3" and too_low and not paper_clamp else rate


def encoder_options(coding: Coding, rate: int) -> dict[str, Any]:
    """Return ffmpeg's output options for a coding, at the stream's sample rate."""
    form = FORMATS[coding.codec]
    options: dict[str, Any] = {"format": form.muxer, "acodec": form.encoder}
    if coding.quality is not None:
        options["q:a"] = f"{coding.quality:g}"
    else:
        options["audio_bitrate"] = f"{coding.requested_kbps:g}k"
    if coding.codec == "mp3":
        options |= _mp3_options(coding, rate)
    if coding.codec == "opus":
        options |= _opus_options(coding)
    return options


def _mp3_options(coding: Coding, rate: int) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if coding.mode == "abr":
        options["abr"] = 1
    if coding.stereo == "plain":
        options["joint_stereo"] = 0
    if coding.lowpass == "off":
        options["cutoff"] = rate // 2  # for LAME a low-pass at half the rate means none
    return options


def _opus_options(coding: Coding) -> dict[str, Any]:
    """Keep Opus in its music coder (CELT).

    Below 64 kbit/s libopus would use its speech coder for the first half second of a clip,
    until it has recognised music; that coder's sound is up to four samples off.
    """
    return {"application": "lowdelay", "vbr": "off" if coding.mode == "cbr" else "on"}
