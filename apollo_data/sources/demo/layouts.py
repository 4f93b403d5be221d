"""One demo song on disk, in MUSDB18-HQ's layout or in MoisesDB's."""

import functools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from apollo_data.records import STEM_CLASSES
from apollo_data.sources.demo.composition import BAND, KIT, Song, SongId, compose
from apollo_data.sources.demo.names import GENRES, MUSDB18HQ, SongName, named_uuid
from apollo_data.sources.demo.session import Pcm, Session, Take, record
from apollo_data.sources.demo.signals import SAMPLE_RATE
from apollo_data.storage import whole_file, write_text

ACTIVITY_FILE = "activity.json"
# Flushing a file to disk is waiting, which several files can do together.
_WRITERS = 4
_MUSDB18HQ_STEMS = {"drums": KIT, "bass": ("bass",), "other": BAND, "vocals": ("vocals",)}
_MOISESDB_STEMS = {stem_class: (stem_class,) for stem_class in STEM_CLASSES}


def write_song(folder: Path, who: SongId, name: SongName, seconds: float, key: str) -> None:
    """Synthesise one song into `folder`; `activity.json`, written last, tells that it is whole."""
    (folder / ACTIVITY_FILE).unlink(missing_ok=True)
    song = compose(who.rng("composition"), seconds)
    if who.layout == MUSDB18HQ:
        session = record(who, song, _MUSDB18HQ_STEMS, apart=False)
        files = _write_musdb18hq(folder, session)
    else:
        session = record(who, song, _MOISESDB_STEMS, apart=True)
        files = _write_moisesdb(folder, session, who, name)
    truth = {
        "sample_rate": SAMPLE_RATE,
        "seconds": seconds,
        "stems": session.truth,
        "music": _music(song),
        "files": {str(p.relative_to(folder).as_posix()): p.stat().st_size for p in files},
        "key": key,
    }
    write_text(folder / ACTIVITY_FILE, json.dumps(truth, indent=1, ensure_ascii=False) + "\n")


def is_whole(folder: Path, key: str) -> bool:
    """Tell whether `folder` holds the song of this key with all of its files."""
    try:
        truth = json.loads((folder / ACTIVITY_FILE).read_text(encoding="utf-8"))
        sizes = {path: (folder / path).stat().st_size for path in truth["files"]}
        return bool(truth["key"] == key and truth["files"] == sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _music(song: Song) -> dict[str, Any]:
    return {
        "tempo_bpm": song.tempo_bpm,
        "key": song.key,
        "sections": [
            {
                "name": section.name,
                "start_seconds": round(section.start_beat * song.beat_seconds, 3),
                "classes": sorted(section.classes),
            }
            for section in song.sections
        ],
    }


def _write_musdb18hq(folder: Path, session: Session) -> list[Path]:
    pcm = {f"{take.stem}.wav": take.levelled(session.gain) for take in session.takes}
    # The mixture is added up after rounding: it is the sum of its stems to the last bit.
    pcm["mixture.wav"] = functools.reduce(np.add, pcm.values())
    with ThreadPoolExecutor(_WRITERS) as pool:
        return list(pool.map(lambda name: _write_wav(folder / name, pcm[name]), pcm))


def _write_moisesdb(folder: Path, session: Session, who: SongId, name: SongName) -> list[Path]:
    stems: dict[str, list[dict[str, Any]]] = {}
    takes: dict[Path, Take] = {}
    for number, take in enumerate(session.takes):
        track = named_uuid("track", who.seed, who.index, number)
        stems.setdefault(take.stem, []).append(
            {
                "id": str(track),
                "trackType": take.track_type,
                "extension": "wav",
                "has_bleed": False,
            }
        )
        takes[folder / take.stem / f"{track}.wav"] = take
    data = {
        "song": name.title,
        "artist": name.artist,
        "genre": GENRES[int(who.rng("genre").integers(len(GENRES)))],
        "stems": [
            {
                "id": str(named_uuid("stem", who.seed, who.index, stem)),
                "stemName": stem,
                "tracks": t,
            }
            for stem, t in stems.items()
        ],
    }
    write_text(folder / "data.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    with ThreadPoolExecutor(_WRITERS) as pool:
        gain = session.gain
        files = pool.map(lambda path: _write_wav(path, takes[path].levelled(gain)), takes)
        return [folder / "data.json", *files]


def _write_wav(path: Path, pcm: Pcm) -> Path:
    with whole_file(path) as temporary:
        soundfile.write(temporary, pcm, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return path
