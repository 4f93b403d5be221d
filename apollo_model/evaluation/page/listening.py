"""Clips of the listening part: read, levelled, and encoded so that the page stays small.

Opus frames are coded at 48 kHz, so the sound is converted first. FLAC keeps 16-bit samples
exactly and is chosen where it fits.
"""

import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from apollo_data.errors import DataError
from apollo_data.stats.sound import loudness_lufs
from apollo_model.evaluation.page.scores import CODEC, number

TARGET = "target"
MAX_VERSIONS = 24
"""Versions of one clip in the page. A browser plays them all at once, in time to the sample."""

_OPUS_RATE = 48000


@dataclass(frozen=True)
class Format:
    """How sounds are stored. Without `level` it is FLAC; `kbps` is measured on stereo music."""

    name: str
    level: float | None = None
    """libsndfile's compression level for Opus, 0 to 1."""

    kbps: float = 0.0


_FORMATS = (
    Format("FLAC"),
    Format("Opus at about 260 kbit/s", 0.5, 265),
    Format("Opus at about 190 kbit/s", 0.65, 190),
    Format("Opus at about 140 kbit/s", 0.75, 140),
    Format("Opus at about 90 kbit/s", 0.85, 90),
)
"""From the best to the smallest."""


@dataclass(frozen=True)
class Version:
    """One version of a clip: who made it and where its file is."""

    role: str
    name: str
    path: Path
    scores: dict[str, Any]


@dataclass(frozen=True)
class Clip:
    """One clip with all its versions; the target comes first, the codec second."""

    about: dict[str, Any]
    versions: list[Version]


@dataclass(frozen=True)
class Listening:
    """What the page needs: a description for its JSON and the audio as base64 texts."""

    about: dict[str, Any]
    audio: list[list[str]]
    """One text per clip and version."""


def pack_clips(folder: Path, max_bytes: int) -> Listening:
    """Encode the clips of `folder`/clips.json into at most `max_bytes` of base64.

    The best format in which all clips fit is taken. If even the smallest is too large, the
    last clips are left out, and the description says how many.

    Raises
    ------
    DataError
        clips.json is damaged, or a file that it names is missing or is not audio.
    """
    clips, notes = read_clips(folder)
    abouts = [_describe(clip) for clip in clips]
    for form in _FORMATS:
        audio: list[list[str]] = []
        if form is not _FORMATS[-1] and _expected_bytes(clips, abouts, form) > max_bytes:
            continue
        left = max_bytes
        for clip in clips:
            texts = [_base64(version.path, form) for version in clip.versions]
            left -= sum(map(len, texts))
            if left < 0:
                break
            audio.append(texts)
        if len(audio) == len(clips):
            break
    if len(audio) < len(clips):
        notes.append(f"{len(clips) - len(audio)} of {len(clips)} clips do not fit into the page.")
    about = {"format": form.name, "clips": abouts[: len(audio)], "notes": notes}
    return Listening(about, audio)


def _expected_bytes(clips: Sequence[Clip], abouts: Sequence[dict[str, Any]], form: Format) -> float:
    """Return about how many bytes of base64 the clips will take; a guess on the low side."""
    if form.level is None:
        return 4 / 3 * sum(v.path.stat().st_size for clip in clips for v in clip.versions)
    seconds = sum(about["seconds"] * len(about["versions"]) for about in abouts)
    return 4 / 3 * 0.8 * seconds * form.kbps * 1000 / 8


def read_clips(folder: Path) -> tuple[list[Clip], list[str]]:
    """Return the clips that clips.json describes, and notes on what is left out."""
    path = folder / "clips.json"
    if not path.is_file():
        return [], []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["clips"]
        clips = [_clip(folder, row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error!r}); run `apollo-model eval` again"
        ) from None
    dropped = {v.name: None for clip in clips for v in clip.versions[MAX_VERSIONS:]}
    notes = []
    if dropped:
        names = ", ".join(dropped)
        notes.append(f"{len(dropped)} systems are scored but not in the listening part: {names}.")
    return [Clip(clip.about, clip.versions[:MAX_VERSIONS]) for clip in clips], notes


def _clip(folder: Path, row: dict[str, Any]) -> Clip:
    files = row["files"]
    names = [name for name in (TARGET, CODEC) if name in files]
    names += [name for name in files if name not in names]
    versions = [
        Version(
            role=name if name in (TARGET, CODEC) else "system",
            name=name,
            path=folder / files[name],
            scores={k: number(v) for k, v in ((row.get("scores") or {}).get(name) or {}).items()},
        )
        for name in names
        if files[name]
    ]
    if not versions:
        raise ValueError(f"clip {row.get('id')!r} has no files")
    kbps, coding = number(row.get("bitrate_kbps")), row.get("coding") or row.get("codec")
    about = {
        "id": str(row.get("id", "")),
        "category": str(row.get("category") or ""),
        "bitrate": kbps,
        "codec": str((coding if kbps is None else row.get("codec")) or ""),
        "song": str(row.get("song") or ""),
        "why": str(row.get("why") or ""),
    }
    return Clip(about, versions)


def _describe(clip: Clip) -> dict[str, Any]:
    """Return what the page tells of a clip: its length, and each version's level and scores."""
    levels = []
    for version in clip.versions:
        audio, rate = _read(version.path)
        levels.append(_loudness(audio, rate))
        if version is clip.versions[0]:
            about = {**clip.about, "rate": rate, "seconds": len(audio) / rate}
    about["versions"] = [
        {
            "role": version.role,
            "name": version.name,
            "gain_db": _gain_db(levels[0], own),
            "scores": version.scores,
        }
        for version, own in zip(clip.versions, levels, strict=True)
    ]
    return about


def _base64(path: Path, form: Format) -> str:
    if form.level is not None:
        encoded = _opus(*_read(path), form.level)
    elif _is_flac_16(path):
        encoded = path.read_bytes()
    else:
        encoded = _flac(*_read(path))
    return base64.b64encode(encoded).decode("ascii")


def _is_flac_16(path: Path) -> bool:
    info = soundfile.info(path)
    return bool(info.format == "FLAC" and info.subtype == "PCM_16")


def _read(path: Path) -> tuple[np.ndarray, int]:
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise DataError(
            f"{path}: not an audio file ({error}); run `apollo-model eval` again"
        ) from None
    return audio, rate


def _loudness(audio: np.ndarray, rate: int) -> float:
    """Return LUFS; clips too short or too soft for it get their mean power in dB; NaN: silence."""
    loudness = loudness_lufs(audio.T, rate)
    if math.isnan(loudness):
        power = float(np.mean(np.square(audio, dtype=np.float64)))
        loudness = 10 * math.log10(power) if power > 0 else math.nan
    return loudness


def _gain_db(target: float, own: float) -> float:
    """Return the gain that gives a version the target's loudness; at most 20 dB either way."""
    gain = target - own
    return round(max(-20.0, min(20.0, gain)), 3) if math.isfinite(gain) else 0.0


def _flac(audio: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _opus(audio: np.ndarray, rate: int, level: float) -> bytes:
    file = io.BytesIO()
    converted = audio if rate == _OPUS_RATE else soxr.resample(audio, rate, _OPUS_RATE)
    with soundfile.SoundFile(
        file,
        "w",
        _OPUS_RATE,
        audio.shape[1],
        format="OGG",
        subtype="OPUS",
        compression_level=level,
    ) as out:
        out.write(converted)
    return file.getvalue()
