"""A dozen clips to listen to: the target, the coded clip and what each system made of it.

Most are chosen evenly over bitrates and categories; the rest are those where a system did worst
beside the codec. `clips.json` describes them; the sounds of one clip share one gain.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from apollo_data.console import Console
from apollo_data.storage import key_of, whole_file, write_text
from apollo_model.evaluation.pairs import Pair, PairList, choose_evenly
from apollo_model.evaluation.rows import SystemRows
from apollo_model.evaluation.score_pair import clip_audio
from apollo_model.evaluation.systems.system import CODEC, System

INDEX = "clips.json"
_WORST_SHARE = 4  # one clip of so many is one of the worst
_JUDGES = ("visqol", "sdr", "si_snr")


def keep_clips(
    folder: Path,
    systems: Sequence[System],
    rows: Mapping[str, SystemRows],
    pairs: PairList,
    count: int,
    console: Console,
) -> None:
    """Write ``clips.json`` and a FLAC file for each clip and version; those of before go.

    Clips that are there already, of the same systems, are not restored again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = choose_clips(systems, rows, pairs, count)
    versions = [system.key for system in systems]
    key = key_of(pairs.key, versions, [system.name for system in systems])
    entries = []
    known = _known(folder, key)
    with console.progress("clips", len(chosen), "clips") as advance:
        for pair, why in chosen:
            entry = known.get(pair.identity) or _write_clip(folder, pair, systems, pairs)
            names = list(entry["files"])
            entry["why"] = why
            entry["scores"] = {name: _scores(rows[name], pair, pairs) for name in names[1:]}
            entries.append(entry)
            advance(1)
    index = {"sample_rate": pairs.sample_rate, "key": key, "clips": entries}
    write_text(folder / INDEX, json.dumps(index, indent=2, allow_nan=False) + "\n")
    _remove_others(folder, {entry["id"] for entry in entries})


def choose_clips(
    systems: Sequence[System], rows: Mapping[str, SystemRows], pairs: PairList, count: int
) -> list[tuple[Pair, str]]:
    """Return the pairs to listen to, and why each was chosen."""
    silent = rows[CODEC].problems
    places = {pair.identity: place for place, pair in enumerate(pairs.pairs)}
    sounding = [p for p in pairs.pairs if "target" not in silent.get(places[p.identity], {})]
    others = [system for system in systems if system.name != CODEC]
    worst_count = count // _WORST_SHARE if others else 0
    even = choose_evenly(sounding, count - worst_count)
    chosen = [(pair, "chosen evenly over bitrates and categories") for pair in even]
    taken = {pair.identity for pair in even}
    for turn in range(worst_count):
        system = others[turn % len(others)]
        loss = _loss(rows[system.name], rows[CODEC])
        order = [int(place) for place in np.argsort(-loss) if np.isfinite(loss[place])]
        left = [place for place in order if pairs.pairs[place].identity not in taken]
        if left:
            pair = pairs.pairs[left[0]]
            taken.add(pair.identity)
            chosen.append((pair, f"one of the worst of {system.name} beside the codec"))
    return chosen


def _loss(own: SystemRows, codec: SystemRows) -> np.ndarray:
    """Return by how much each pair lost beside the codec, in the first judge there is."""
    judge = next((name for name in _JUDGES if name in own.metrics), own.metrics[0])
    column = own.metrics.index(judge)
    return codec.values[:, column] - own.values[:, column]


def _write_clip(
    folder: Path, pair: Pair, systems: Sequence[System], pairs: PairList
) -> dict[str, Any]:
    versions = clip_audio(pair, systems, pairs.sample_rate)
    peak = max(float(np.abs(audio).max()) for audio in versions.values())
    gain = min(1.0, 1.0 / peak) if peak else 1.0
    files = {}
    for number, (name, audio) in enumerate(versions.items()):
        file = f"{pair.name}/{number:02d}.flac"
        with whole_file(folder / file) as temporary:
            samples = np.rint(gain * audio.T * 32767).astype(np.int16)
            soundfile.write(str(temporary), samples, pairs.sample_rate, format="FLAC")
        files[name] = file
    kbps = pair.requested_kbps
    return {
        "id": pair.name,
        "pair": pair.identity,
        "category": pair.category,
        "bitrate_kbps": kbps if np.isfinite(kbps) else None,
        "codec": pair.codec,
        "coding": pair.coding,
        "song": ", ".join(pair.songs),
        "gain": gain,
        "files": files,
    }


def _scores(own: SystemRows, pair: Pair, pairs: PairList) -> dict[str, float | None]:
    place = pairs.pairs.index(pair)
    values = own.values[place].tolist()
    return {
        name: value if np.isfinite(value) else None
        for name, value in zip(own.metrics, values, strict=True)
    }


def _known(folder: Path, key: str) -> dict[str, dict[str, Any]]:
    """Return the clips of before by pair, if they are of the same systems and all there."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["key"] != key:
            return {}
        return {
            clip["pair"]: clip
            for clip in index["clips"]
            if all((folder / file).is_file() for file in clip["files"].values())
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _remove_others(folder: Path, kept: set[str]) -> None:
    for place in folder.iterdir():
        if place.is_dir() and place.name not in kept:
            shutil.rmtree(place, ignore_errors=True)
