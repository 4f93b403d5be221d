"""Read any audio file in blocks; files that are not lossless are decoded by ffmpeg first."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutagen
import mutagen.aac
import mutagen.ac3
import mutagen.mp3
import numpy as np
import soundfile

from apollo_data.audio.files import AudioInfo, Samples, decode, is_lossless, probe
from apollo_data.audio.tracks import AudioTrack, audio_tracks, choose_track
from apollo_data.errors import AudioError

_BLOCK_SAMPLES = 1 << 18  # of all channels together
_UNKNOWN_FRAMES = 1 << 48  # a stream whose length was never written claims more
_RATES_HZ = (1000, 768_000)
_ESTIMATED = (mutagen.aac.AACInfo, mutagen.ac3.AC3Info)
_LENGTH_MARKS = (b"Xing", b"Info", b"VBRI")  # of MP3, within the first frame
_FIRST_FRAME_BYTES = 512


@dataclass(frozen=True)
class OpenedAudio:
    """A file that can be read in blocks.

    Attributes
    ----------
    source
        The user's file.
    path
        What is read: the source, or its decoded copy.
    info
        Rate, channels and length of `path`.
    tracks
        Audio tracks of the source; empty for lossless files, which have one.
    track
        The one that was decoded.
    """

    source: Path
    path: Path
    info: AudioInfo
    tracks: tuple[AudioTrack, ...] = ()
    track: AudioTrack | None = None


def open_audio(path: Path, scratch: Path, track: int | None = None) -> OpenedAudio:
    """Open a file, and decode it where needed.

    Parameters
    ----------
    scratch
        Folder for a decoded copy, a float WAV file of 4 bytes a sample.
    track
        Which audio track, from 1; None takes the default one.

    Raises
    ------
    AudioError
        The file is no audio, has no samples, no such track, or an impossible sample rate.
    """
    if is_lossless(path) and not _has_unknown_length(path):
        if track not in (None, 1):
            raise AudioError(f"{path}: has no audio track {track}; it has one")
        return OpenedAudio(path, path, _checked(probe(path), path))
    tracks = audio_tracks(path)
    chosen = choose_track(path, tracks, track)
    readable = scratch / "decoded.wav"
    decode(path, readable, track=chosen.number if chosen else None)
    return OpenedAudio(path, readable, _checked(probe(readable), path), tracks, chosen)


def _checked(info: AudioInfo, path: Path) -> AudioInfo:
    low, high = _RATES_HZ
    if not low <= info.sample_rate <= high:
        raise AudioError(f"{path}: has {info.sample_rate} Hz, expected {low} to {high}")
    return info


def _has_unknown_length(path: Path) -> bool:
    return probe(path).frames >= _UNKNOWN_FRAMES


def told_seconds(path: Path) -> float:
    """Return how long a file lasts by its header or by an estimate; 0 where neither is known."""
    return _seconds(_header(path))


def promised_seconds(path: Path) -> float:
    """Return how long a file must last by its header; 0 where the header does not say.

    MP3 files without a Xing or VBRI header, and raw AAC and AC-3 streams, do not say: what is
    told of them is an estimate from the first frames' bitrate.
    """
    header = _header(path)
    if isinstance(header, _ESTIMATED):
        return 0.0
    if isinstance(header, mutagen.mp3.MPEGInfo) and not _says_its_length(path, header):
        return 0.0
    return _seconds(header)


def _seconds(header: Any) -> float:
    try:
        return float(header.length)
    except (AttributeError, TypeError, ValueError):
        return 0.0


def _header(path: Path) -> Any:
    if not path.is_file():  # reading a pipe would wait
        return None
    try:
        return mutagen.File(path).info
    except Exception:  # unknown or damaged: only the length is not known
        return None


def _says_its_length(path: Path, header: Any) -> bool:
    with path.open("rb") as source:
        source.seek(header.frame_offset)
        first = source.read(_FIRST_FRAME_BYTES)
    return any(mark in first for mark in _LENGTH_MARKS)


def missing_seconds(audio: OpenedAudio) -> float:
    """Return how much less was decoded than the header promises; 0 where that is too little."""
    if len(audio.tracks) > 1:  # the header's length is that of the longest track
        return 0.0
    missing = promised_seconds(audio.source) - audio.info.seconds
    return missing if missing > max(0.5, 0.01 * audio.info.seconds) else 0.0


def read_blocks(audio: OpenedAudio) -> Iterator[Samples]:
    """Yield a file's sound, (channels, n) float32, from start to end.

    Raises
    ------
    AudioError
        The file is damaged further on, or holds NaN or infinity.
    """
    frames = max(1024, _BLOCK_SAMPLES // audio.info.channels)
    done = 0
    try:
        with soundfile.SoundFile(os.fsencode(audio.path)) as source:
            while len(block := source.read(frames, dtype="float32", always_2d=True)):
                if not np.isfinite(block).all():
                    raise AudioError(f"{audio.source}: holds NaN or infinite samples")
                done += len(block)
                yield block.T
    except (soundfile.LibsndfileError, OSError) as error:
        seconds = done / audio.info.sample_rate
        raise AudioError(f"{audio.source}: is damaged after {seconds:.1f} s ({error})") from None
    if done != audio.info.frames:
        raise AudioError(
            f"{audio.source}: is truncated: its header promises {audio.info.frames} samples,"
            f" {done} are there"
        )
