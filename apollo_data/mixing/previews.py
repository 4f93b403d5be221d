"""Previews: some recipes of a plan as WAV files to listen to, each with its recipe as JSON."""

import json
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

import numpy as np

from apollo_data.audio.files import Samples
from apollo_data.console import Console
from apollo_data.errors import AudioError, DataError
from apollo_data.mixing import render
from apollo_data.records import CATEGORIES, MixRecipe, Rejection
from apollo_data.storage import whole_file, write_text
from apollo_data.workspace.manifest import iterate_rows, read_header, root_of, to_json
from apollo_data.workspace.reject_log import RejectLog

with warnings.catch_warnings():
    # It warns if no ffmpeg is on the path; none is needed here.
    warnings.simplefilter("ignore")
    from pydub import AudioSegment

_FULL_SCALE = 32767.0
_FADE_MS = 10
_FADE_SAMPLES = 441  # pydub counts in whole milliseconds, which are whole samples every 10 ms
_SEARCH_ROWS = 20_000


@dataclass(frozen=True)
class Preview:
    """A file that was written, and the recipe that it plays."""

    path: Path
    recipe: MixRecipe


def write_previews(
    mixes: Path,
    folder: Path,
    sample_rate: int,
    split: str,
    count: int,
    rejects: RejectLog,
    console: Console,
) -> list[Preview]:
    """Render recipes of the plan `mixes` into `folder`, spread evenly over the categories.

    Each is a 16-bit WAV file, faded over 10 ms at its edges so that it does not click, and
    divided by its peak only if that is above full scale; beside it lies the recipe as JSON.
    Earlier previews of the split are deleted. A clip that cannot be rendered becomes a row of
    rejects.jsonl, the others are written.

    Raises
    ------
    DataError
        The plan has no recipe of the split or, with `strict`, one cannot be rendered.
    """
    root = root_of(mixes, read_header(mixes))
    recipes = pick_evenly(_of_split(iterate_rows(mixes, "mixes", MixRecipe), split), count)
    if not recipes:
        raise DataError(f"{mixes}: holds no recipes of split {split!r} to listen to")
    written: list[Preview] = []
    rejections: list[Rejection] = []
    with console.progress("previews", len(recipes), "clips") as advance:
        for recipe in recipes:
            path = folder / f"{split}-{recipe.index:05d}-{recipe.category}.wav"
            try:
                _write_preview(path, recipe, root, sample_rate)
            except AudioError as error:
                rejections.append(_reject(path.name, recipe, error))
            else:
                written.append(Preview(path, recipe))
            advance(1)
    _remove_earlier(folder, split, [preview.path for preview in written])
    rejects.record(["preview"], rejections)
    rejects.check(rejections)
    for row in rejections:
        console.warn(f"no preview of {row.path}: {row.reason}")
    return written


def _of_split(recipes: Iterable[MixRecipe], split: str) -> Iterator[MixRecipe]:
    """Yield a split's recipes, up to the limit of the search for rare categories."""
    own = (recipe for recipe in recipes if recipe.split == split and not recipe.pair)
    return takewhile(lambda recipe: recipe.index < _SEARCH_ROWS, own)


def pick_evenly(recipes: Iterable[MixRecipe], count: int) -> list[MixRecipe]:
    """Return `count` recipes, or all there are: the first of each category in turn.

    Reading stops when every category has its part. If one has too few, the others
    fill up.
    """
    found: dict[str, list[MixRecipe]] = {name: [] for name in CATEGORIES}
    part = math.ceil(count / len(CATEGORIES))
    for recipe in recipes:
        if len(own := found[recipe.category]) < count:
            own.append(recipe)
        if all(len(own) >= part for own in found.values()):
            break
    places = range(max(len(own) for own in found.values()))
    turns = (own[place] for place in places for own in found.values() if place < len(own))
    return sorted(islice(turns, count), key=lambda recipe: recipe.index)


def _write_preview(path: Path, recipe: MixRecipe, root: Path, rate: int) -> None:
    sound = _fade_edges(_segment(render(recipe, root, rate), rate))
    with whole_file(path) as temporary:
        sound.export(temporary, format="wav").close()
    write_text(path.with_suffix(".json"), json.dumps(to_json(recipe), indent=2) + "\n")


def _segment(audio: Samples, rate: int) -> AudioSegment:
    """Return (2, samples) as 16-bit sound, divided by its peak if it would clip."""
    scale = max(1.0, float(np.abs(audio).max()))
    samples = np.round(audio.T / scale * _FULL_SCALE).astype("<i2")
    return AudioSegment(samples.tobytes(), sample_width=2, frame_rate=rate, channels=2)


def _fade_edges(sound: AudioSegment) -> AudioSegment:
    """Fade the first and last 10 ms. They are cut out first, because pydub may lose a sample."""
    end = int(sound.frame_count()) - _FADE_SAMPLES
    head = sound.get_sample_slice(0, _FADE_SAMPLES).fade_in(_FADE_MS)
    tail = sound.get_sample_slice(end).fade_out(_FADE_MS)
    return head + sound.get_sample_slice(_FADE_SAMPLES, end) + tail


def _reject(name: str, recipe: MixRecipe, error: AudioError) -> Rejection:
    detail = {"split": recipe.split, "index": str(recipe.index)}
    return Rejection(f"previews/{name}", "preview", str(error), detail)


def _remove_earlier(folder: Path, split: str, kept: Sequence[Path]) -> None:
    """Delete previews of other plans; other files in the folder stay."""
    names = {path.stem for path in kept}
    ours = re.compile(rf"{split}-\d{{5,}}-({'|'.join(CATEGORIES)})\.(wav|json)")
    for path in folder.glob(f"{split}-*"):
        if ours.fullmatch(path.name) and path.stem not in names:
            path.unlink()


def describe_stems(recipe: MixRecipe) -> str:
    """Return what a recipe mixes, in a line.

    Examples
    --------
    >>> from apollo_data.records import StemClip
    >>> clips = (StemClip("a", "bass", "a.wav", 0.0, 3.0, -2.5, pan=0.25, inverted=True),)
    >>> describe_stems(MixRecipe(0, 0, "train", "single_stem", clips, ()))
    'bass -2.5 dB (pan +0.25, inverted)'
    """
    if recipe.mixture is not None:
        return f"whole mixture of {recipe.mixture.song}"
    parts = []
    for clip in recipe.stems:
        done = [f"{clip.normalise_lufs:g} LUFS"] if clip.normalise_lufs is not None else []
        done += ["swapped"] if clip.swapped else []
        done += [f"pan {clip.pan:+.2f}"] if clip.pan is not None else []
        done += ["inverted"] if clip.inverted else []
        more = f" ({', '.join(done)})" if done else ""
        parts.append(f"{clip.stem_class} {clip.gain_db:+.1f} dB{more}")
    return ", ".join(parts)
