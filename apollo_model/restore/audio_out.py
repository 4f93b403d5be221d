"""Restored sound to WAV, FLAC, MP3 or Opus, at a level that the format can hold."""

import contextlib
import math
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ffmpeg
import numpy as np
import soundfile

from apollo_data.audio.ffmpeg import run_ffmpeg
from apollo_data.audio.files import Samples
from apollo_data.errors import AudioError, DataError

_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS_RATE_HZ = 48000
_MAX_CHANNELS = {"wav": 1024, "flac": 8, "mp3": 2, "opus": 8}
# WAV's order of speakers: a file does not tell soundfile more than the number of its channels.
_OPUS_LAYOUTS = {3: "3.0", 4: "quad", 6: "5.1", 8: "7.1"}
_DEFAULT_KBPS = {"mp3": 320, "opus": 192}
_MAX_WAV_BYTES = (1 << 32) - (1 << 20)
_TIMEOUT_SECONDS = 3600.0
_SUBTYPES = {"float": "FLOAT", "16": "PCM_16", "24": "PCM_24"}
_BLOCK_SAMPLES = 1 << 18


@dataclass(frozen=True)
class OutputFormat:
    """How results are written.

    Attributes
    ----------
    container
        wav, flac, mp3 or opus.
    depth
        16, 24 or float; None gives WAV float and FLAC 24 bits.
    kbps
        Of MP3 and Opus; None gives 320 and 192.
    """

    container: str = "wav"
    depth: str | None = None
    kbps: int | None = None

    @property
    def subtype(self) -> str:
        """What libsndfile calls the samples' type."""
        return _SUBTYPES[self.depth or ("float" if self.container == "wav" else "24")]

    @property
    def clips(self) -> bool:
        """Whether the format cannot hold more than full scale."""
        return self.container != "wav" or self.subtype != "FLOAT"

    def check(self) -> None:
        """Raise a `DataError` if the options do not go together."""
        lossy = self.container in _DEFAULT_KBPS
        if lossy and self.depth:
            raise DataError(f"--depth belongs to WAV and FLAC, not to {self.container}")
        if not lossy and self.kbps:
            raise DataError(f"--kbps belongs to MP3 and Opus, not to {self.container}")
        if self.container == "flac" and self.depth == "float":
            raise DataError("FLAC has no float samples; use --depth 24, or --format wav")

    def rate_for(self, wanted: int) -> int:
        """Return the rate that is written where `wanted` hertz would be best.

        Raises
        ------
        AudioError
            The format does not have it.
        """
        if self.container == "opus":
            return _OPUS_RATE_HZ
        if self.container == "mp3" and wanted not in _MP3_RATES_HZ:
            raise AudioError(f"MP3 has no {wanted} Hz; leave out --keep-rate, or write FLAC")
        if self.container == "flac" and wanted > 655_350:
            raise AudioError(f"FLAC has no {wanted} Hz; leave out --keep-rate, or write WAV")
        return wanted

    def check_channels(self, channels: int) -> None:
        """Raise an `AudioError` if the format cannot hold so many."""
        most = _MAX_CHANNELS[self.container]
        if channels > most:
            name = self.container.upper()
            raise AudioError(f"has {channels} channels, {name} holds {most}; use --format wav")
        if self.container == "opus" and channels > 2 and channels not in _OPUS_LAYOUTS:
            raise AudioError(  # its encoder for libopus confuses the speakers of 5.0 and 6.1
                f"has {channels} channels, which ffmpeg would mix up in Opus; use --format flac"
            )

    def likely_bytes(self, samples: int, seconds: float) -> int:
        """Return about how large a file of so many samples, of all channels together, will be."""
        if self.container in _DEFAULT_KBPS:
            return round(seconds * 125 * (self.kbps or _DEFAULT_KBPS[self.container]))
        size = {"FLOAT": 4, "PCM_24": 3, "PCM_16": 2}[self.subtype]
        # Of FLAC, music takes half to two thirds.
        return samples * size // (2 if self.container == "flac" else 1)


def write_float(
    path: Path, blocks: Iterable[Samples], rate: int, channels: int, samples: int
) -> float:
    """Write blocks of (channels, n), `samples` in all, as a float WAV file; return their peak.

    Raises
    ------
    AudioError
        The blocks hold NaN or infinity.
    """
    peak = 0.0
    container = _wav_container(samples * channels * 4)
    with _sound_file(path, rate, channels, container, "FLOAT") as out:
        for block in blocks:
            highest = float(np.abs(block).max(initial=0.0))
            if not math.isfinite(highest):
                raise AudioError("the network gave NaN or infinite samples; try --dtype float32")
            peak = max(peak, highest)
            out.write(block.T)
    return peak


def encode(restored: Path, out: Path, form: OutputFormat, scale: float) -> None:
    """Write a float WAV file, times `scale`, in the final format.

    Raises
    ------
    AudioError
        The encoder failed.
    """
    if form.container in ("mp3", "opus"):
        _encode_lossy(restored, out, form, scale)
    elif form.clips:
        _encode_integer(restored, out, form, scale)
    else:
        shutil.copyfile(restored, out)


def _wav_container(sound_bytes: int) -> str:
    """Return what libsndfile calls a WAV file of that size: from 4 GB on it is another."""
    return "WAV" if sound_bytes <= _MAX_WAV_BYTES else "RF64"


def _encode_integer(restored: Path, out: Path, form: OutputFormat, scale: float) -> None:
    with soundfile.SoundFile(str(restored)) as source:
        container = form.container.upper()
        if container == "WAV":
            container = _wav_container(source.frames * source.channels * 3)
        with _sound_file(
            out, source.samplerate, source.channels, container, form.subtype
        ) as target:
            for block in source.blocks(_BLOCK_SAMPLES, dtype="float32", always_2d=True):
                target.write(block * np.float32(scale))


def _encode_lossy(restored: Path, out: Path, form: OutputFormat, scale: float) -> None:
    info = soundfile.info(str(restored))
    known = _OPUS_LAYOUTS.get(info.channels)
    layout = {"channel_layout": known} if known else {}
    source = ffmpeg.input(f"file:{restored.resolve()}", protocol_whitelist="file", **layout)
    sound = source.audio
    if scale != 1:
        sound = sound.filter("volume", f"{scale:.9f}", precision="float")
    coder = {"mp3": "libmp3lame", "opus": "libopus"}[form.container]
    kbps = min(form.kbps or _DEFAULT_KBPS[form.container], _most_kbps(form, info))
    # The length that MP3 and Opus note for gapless playing needs an output that can be sought.
    graph = sound.output(
        f"file:{out.resolve()}", format=form.container, acodec=coder, audio_bitrate=f"{kbps}k"
    )
    run_ffmpeg(graph, _TIMEOUT_SECONDS)


def _most_kbps(form: OutputFormat, info: soundfile._SoundFileInfo) -> int:
    if form.container == "opus":
        return 256 * int(info.channels)
    if info.samplerate >= 32000:
        return 320
    return 160 if info.samplerate >= 16000 else 64


@contextlib.contextmanager
def _sound_file(
    path: Path, rate: int, channels: int, container: str, subtype: str
) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(
            str(path), "w", samplerate=rate, channels=channels, format=container, subtype=subtype
        ) as out:
            yield out
    except soundfile.LibsndfileError as error:
        raise AudioError(f"cannot be written as {container} ({error.error_string})") from None
