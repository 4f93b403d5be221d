"""A small evaluation folder, as `apollo-model eval` writes it, for the tests of its page."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile

from helpers.signals import RATE, music

KBPS = (24, 64, 128)
CATEGORIES = ("vocal", "multi_stems")
METRICS = ("si_snr", "sdr", "visqol")

ODD_NAME = "</script><img src=x onerror=alert(1)>"
"""A name that would end the page's data if it were not escaped."""

NAMES = ("codec", ODD_NAME, 'it\'s "=1+1", é & ü')
BROKEN = "diverged"
"""A system whose scores are all null."""


def write_evaluation(folder: Path, names: tuple[str, ...] = NAMES, clips: int = 3) -> Path:
    """Write summary.json, scores.csv and `clips` clips to listen to."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(_rows(names))
    with (folder / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    systems: dict[str, Any] = {name: _system(rows, name) for name in names}
    for name in names[1:]:
        systems[name]["kind"] = "network"
    del systems["codec"]["overall"]["difference"]
    nothing = {"n": 0, **dict.fromkeys(METRICS)}
    systems[BROKEN] = {"overall": nothing, "by_bitrate": {"24": nothing}, "by_category": {}}
    summary = {"systems": systems, "pairs": len(rows) // len(names), "silent": 1}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    speed = {ODD_NAME: {"key": "k", "ms_per_second": 41.5}}
    (folder / "speed.json").write_text(json.dumps(speed), encoding="utf-8")
    if clips:
        write_clips(folder / "listening", names, clips)
    return folder


def _rows(names: tuple[str, ...]) -> Any:
    rng = np.random.default_rng(3)
    for number in range(36):
        for place, name in enumerate(names):
            score = 8 + 3 * (number % 3) + place + rng.normal(0, 1)
            yield {
                "system": name,
                "shard": "shard-00000.h5",
                "pair": number,
                "name": f"clip {number}",
                "category": CATEGORIES[number % 2],
                "codec": "mp3",
                "requested_kbps": float(KBPS[number % 3]),
                "coding": f"mp3 {KBPS[number % 3]}",
                "si_snr": score,
                "sdr": score + 0.5,
                "visqol": "" if number == 7 else 2 + 0.3 * place,
            }


def _system(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    own = [row for row in rows if row["system"] == name]

    def scores(column: str, value: Any) -> dict[str, Any]:
        return _scores([row for row in own if row[column] == value])

    return {
        "kind": "checkpoint",
        "parameters": 521132,
        "note": "",
        "remarks": {"shifted by 3 samples": 2} if name == ODD_NAME else {},
        "hum_test": {"limit_db": -60.0, "n": 36, "failed": 9, "passed": name == "codec"},
        "overall": _scores(own),
        "by_bitrate": {str(kbps): scores("requested_kbps", kbps) for kbps in KBPS},
        "by_category": {category: scores("category", category) for category in CATEGORIES},
    }


def _scores(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"n": len(rows), "ci95": {}, "difference": {}}
    for metric in METRICS:
        values = [row[metric] for row in rows if row[metric] != ""]
        mean = float(np.mean(values))
        found[metric] = mean
        found["ci95"][metric] = [mean - 0.4, mean + 0.4]
        found["difference"][metric] = {"mean": 1.25, "ci95": [1.0, 1.5], "n": len(values)}
    found["missing"] = {"visqol": {"the target is too short": 1}}
    return found


def write_clips(folder: Path, names: tuple[str, ...], count: int, seconds: float = 1.5) -> None:
    """Write noise-like clips: the target, and versions low-passed at different frequencies."""
    folder.mkdir(parents=True)
    clips = []
    for number in range(count):
        target = music(seconds, seed=number).T
        versions = {"target": target}
        for place, name in enumerate(names):
            band = scipy.signal.butter(4, min(20000, 5000 + 3000 * place), fs=RATE, output="sos")
            versions[name] = scipy.signal.sosfiltfilt(band, target, axis=0) * max(0.1, 0.8**place)
        files = {}
        for place, (name, audio) in enumerate(versions.items()):
            files[name] = f"clip-{number}-{place}.flac"
            soundfile.write(folder / files[name], audio, RATE, subtype="PCM_16")
        clips.append(
            {
                "id": f"clip-{number}",
                "category": CATEGORIES[number % 2],
                "bitrate_kbps": KBPS[number % 3],
                "codec": "mp3",
                "song": 'Band, "A" - Tune <b>',
                "files": files,
                "scores": {name: {"si_snr": 9.5, "sdr": None} for name in names},
            }
        )
    text = json.dumps({"sample_rate": RATE, "clips": clips})
    (folder / "clips.json").write_text(text, encoding="utf-8")
