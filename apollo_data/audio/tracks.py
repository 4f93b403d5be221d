"""Audio tracks of a container: which there are, and which one is meant by default."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.errors import AudioError

# What decoding may open: neither playlists nor anything else that names further files.
DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,matroska,webm,mov,mp4,m4a,3gp,"
    "3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,ogg,rm,tak,truehd,tta,voc,w64,wav,wv"
)
_SECONDS = 60.0
_STREAM = re.compile(r"^ *Stream #\d+:\d+(?:\[\w+\])?(?:\((\w+)\))?: (\w+): (\w+)(.*)$")
_TITLE = re.compile(r"^ +title +: (.*)$")


@dataclass(frozen=True)
class AudioTrack:
    """One audio track; `number` counts the file's audio tracks from 1."""

    number: int
    codec: str
    language: str
    title: str
    is_default: bool

    def __str__(self) -> str:
        known = [self.language, self.codec, self.title]
        return f"{self.number} ({', '.join(filter(None, known))})"


def audio_tracks(path: Path) -> tuple[AudioTrack, ...]:
    """Return the audio tracks that ffmpeg finds in a file; none where it finds no audio.

    Raises
    ------
    AudioError
        ffmpeg does not answer in time.
    """
    command = [find_ffmpeg(), "-hide_banner", "-nostdin", "-protocol_whitelist", "file"]
    command += ["-format_whitelist", DEMUXERS, "-i", f"file:{path.resolve()}"]
    try:
        told = subprocess.run(
            command, capture_output=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
        ).stderr
    except subprocess.TimeoutExpired:
        raise AudioError(f"{path}: ffmpeg took longer than {_SECONDS:g} s to open it") from None
    return _parsed(told.decode("utf-8", "replace").splitlines())


def _parsed(lines: Sequence[str]) -> tuple[AudioTrack, ...]:
    tracks: list[AudioTrack] = []
    in_audio = False
    for line in lines:
        if found := _STREAM.match(line):
            language, kind, codec, rest = found.groups()
            in_audio = kind == "Audio"
            if in_audio:
                known = language if language not in (None, "und") else ""
                default = "(default)" in rest
                tracks.append(AudioTrack(len(tracks) + 1, codec, known, "", default))
        elif in_audio and (named := _TITLE.match(line)):
            last = tracks.pop()
            tracks.append(
                AudioTrack(last.number, last.codec, last.language, named[1], last.is_default)
            )
    return tuple(tracks)


def choose_track(
    path: Path, tracks: Sequence[AudioTrack], wanted: int | None = None
) -> AudioTrack | None:
    """Return the wanted track, or else the default one: so marked in the file, or the first.

    None means that the file has no audio track that ffmpeg tells of.

    Raises
    ------
    AudioError
        The file has no track of the wanted number.
    """
    if wanted is not None:
        for track in tracks:
            if track.number == wanted:
                return track
        have = ", ".join(map(str, tracks)) or "none"
        raise AudioError(f"{path}: has no audio track {wanted}; it has: {have}")
    return next((track for track in tracks if track.is_default), tracks[0] if tracks else None)
