"""Write restored sound: a float WAV file while it is made, then the final format."""

import contextlib
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import ffmpeg
import numpy as np
import soundfile

from apollo_data.audio.ffmpeg import file_argument, run_ffmpeg
from apollo_data.audio.files import Samples
from apollo_data.errors import AudioError
from apollo_model.restore.formats import OutputFormat

# The order of speakers of WAV: soundfile tells no more than the number of channels.
_LAYOUTS = {3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_ENCODERS = {
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("ipod", "aac"),
    "ogg": ("ogg", "libvorbis"),
    "opus": ("opus", "libopus"),
}
_VORBIS_QUALITY = 9
_MAX_WAV_BYTES = (1 << 32) - (1 << 20)
_TIMEOUT_SECONDS = 3600.0
_BLOCK_SAMPLES = 1 << 18


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
    if form.is_lossy:
        _encode_lossy(restored, out, form, scale)
    elif form.clips or form.container != "wav":
        _encode_samples(restored, out, form, scale)
    else:
        shutil.copyfile(restored, out)


def _wav_container(sound_bytes: int) -> str:
    """Return libsndfile's name of a WAV file with so many bytes of sound: from 4 GB on RF64."""
    return "WAV" if sound_bytes <= _MAX_WAV_BYTES else "RF64"


def _encode_samples(restored: Path, out: Path, form: OutputFormat, scale: float) -> None:
    with soundfile.SoundFile(os.fsencode(restored)) as source:
        container = form.container.upper()
        if container == "WAV":
            container = _wav_container(source.frames * source.channels * 3)
        with _sound_file(
            out, source.samplerate, source.channels, container, form.subtype
        ) as target:
            for block in source.blocks(_BLOCK_SAMPLES, dtype="float32", always_2d=True):
                target.write(block * np.float32(scale))


def _encode_lossy(restored: Path, out: Path, form: OutputFormat, scale: float) -> None:
    info = soundfile.info(os.fsencode(restored))
    known = _LAYOUTS.get(info.channels)
    layout = {"channel_layout": known} if known else {}
    source = ffmpeg.input(file_argument(restored), protocol_whitelist="file", **layout)
    sound = source.audio
    if scale != 1:
        sound = sound.filter("volume", f"{scale:.9f}", precision="float")
    muxer, encoder = _ENCODERS[form.container]
    if form.container == "ogg":
        quality = {"q:a": str(_VORBIS_QUALITY)}
    else:
        quality = {"b:a": f"{form.kbps_for(info.channels, info.samplerate)}k"}
    # The length for gapless playing can only be noted in an output that can be sought.
    graph = sound.output(file_argument(out), format=muxer, acodec=encoder, **quality)
    run_ffmpeg(graph, _TIMEOUT_SECONDS)


@contextlib.contextmanager
def _sound_file(
    path: Path, rate: int, channels: int, container: str, subtype: str
) -> Iterator[soundfile.SoundFile]:
    try:
        with soundfile.SoundFile(
            os.fsencode(path),
            "w",
            samplerate=rate,
            channels=channels,
            format=container,
            subtype=subtype,
        ) as out:
            yield out
    except soundfile.LibsndfileError as error:
        raise AudioError(f"cannot be written as {container} ({error.error_string})") from None
