"""Small songs in both layouts, made in a moment, for the tests of every room."""

import json
from pathlib import Path

import numpy as np
import soundfile

from apollo_data.records import STEM_CLASSES
from apollo_data.settings import Settings, parse_settings

RATE = 44100
SECONDS = 8.0


def tone(name: str, seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """A decaying, slightly noisy chord of its own for each name, (samples, 2), with a rest."""
    rng = np.random.default_rng(list(name.encode()))
    time = np.arange(round(seconds * rate)) / rate
    pitches = rng.uniform(80, 4000, 4)
    sound = sum(np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6)) for pitch in pitches)
    sound = sound[:, None] * rng.uniform(0.5, 1.0, 2) + rng.normal(0, 0.3, (len(time), 2))
    sound *= 0.06 * (0.6 + 0.4 * np.sin(2 * np.pi * 2 * time))[:, None]
    sound[round(0.75 * len(time)) : round(0.9 * len(time))] = 0.0
    return sound.astype(np.float32)


def write_musdb_song(folder: Path, seconds: float = SECONDS, **sounds: np.ndarray) -> None:
    """Write a song in MUSDB18-HQ's layout."""
    folder.mkdir(parents=True)
    names = ("drums", "bass", "other", "vocals")
    stems = {name: tone(f"{folder.name}{name}", seconds) for name in names}
    stems |= sounds
    shortest = min(len(stem) for stem in stems.values())
    stems["mixture"] = sum(stem[:shortest] for stem in stems.values())
    for name, sound in stems.items():
        soundfile.write(folder / f"{name}.wav", sound, RATE, subtype="PCM_16")


def write_moises_song(
    folder: Path, classes: tuple[str, ...] = STEM_CLASSES, seconds: float = SECONDS
) -> None:
    """Write a song in MoisesDB's layout; drums have two sources."""
    stems = []
    for name in classes:
        sources = [f"{name}-{number}" for number in range(2 if name == "drums" else 1)]
        (folder / name).mkdir(parents=True)
        for source in sources:
            sound = tone(f"{folder.name}{source}", seconds)
            soundfile.write(folder / name / f"{source}.wav", sound, RATE, subtype="PCM_16")
        tracks = [
            {"id": source, "trackType": "x", "extension": "wav", "has_bleed": False}
            for source in sources
        ]
        stems.append({"id": name, "stemName": name, "tracks": tracks})
    description = {"song": "A Song", "artist": "", "genre": "none", "stems": stems}
    (folder / "data.json").write_text(json.dumps(description))


def write_songs(root: Path) -> Path:
    """Write four songs in MUSDB18-HQ's layout and three in MoisesDB's, one a split."""
    for number in range(3):
        write_musdb_song(root / f"mus/train/Band {number} - Tune {number}")
    write_musdb_song(root / "mus/test/Other Band - It's a Tüne")
    for name in MOISES_SONGS.values():
        write_moises_song(root / "moises" / name)
    return root


# Folder names whose hashes fall into the three splits.
MOISES_SONGS = {
    "train": "00000000-0000-4000-8000-000000000000",
    "valid": "00000000-0000-4000-8000-000000000018",
    "test": "00000000-0000-4000-8000-000000000010",
}


def small_settings(**changes: object) -> Settings:
    """Settings for a build of a few seconds; `changes` are sections of a pipeline file."""
    values: dict[str, object] = {
        "name": "small",
        "seed": 5,
        "mixing": {"clip_seconds": 1.0},
        "shards": {"train_clips": 10, "valid_clips": 3, "clips_per_shard": 4},
        "evaluation": {"per_category": 1},
    }
    return parse_settings({**values, **changes}, "test")


def tiny_settings(**training: object) -> Settings:
    """Settings of a network that trains in seconds."""
    return small_settings(
        mixing={"clip_seconds": 0.5},
        shards={"train_clips": 6, "valid_clips": 2, "clips_per_shard": 4},
        network={"feature_dim": 16, "layers": 1, "residual": True},
        training={"batch_size": 2, "crop_seconds": 0.3, "max_epochs": 2, **training},
    )
