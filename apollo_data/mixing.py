"""Mixes: draw a recipe from a seed and an index, then render it without chance.

Source: arXiv 2409.08514, section III-A: 1-8 stems of the 11 classes from different
songs, each at -10..+10 dB, summed.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apollo_data.audio import Samples, files_of, read_sound
from apollo_data.errors import DataError
from apollo_data.randomness import generator
from apollo_data.records import (
    CATEGORIES,
    STEM_CLASSES,
    ActiveSpan,
    Coding,
    MixRecipe,
    Mixture,
    MixtureClip,
    Stem,
    StemActivity,
    StemClip,
    Track,
    category_of,
)
from apollo_data.settings import Settings
from apollo_data.spans import frames_of_spans, merge_spans
from apollo_data.variants import draw_variant

_GRID_SECONDS = 0.01
_ATTEMPTS = 20


class StartTimes:
    """Where a clip may begin in one file: all points of a 10-ms grid with enough activity."""

    def __init__(
        self, spans: Sequence[ActiveSpan], seconds: float, clip_seconds: float, min_share: float
    ) -> None:
        active = np.concatenate([[0.0], np.cumsum(frames_of_spans(spans, seconds, _GRID_SECONDS))])
        length = round(clip_seconds / _GRID_SECONDS)
        share = (active[length:] - active[:-length]) / length
        allowed = (share >= min_share - 1e-9) & (share > 0.0)
        edges = np.flatnonzero(np.diff(allowed.astype(np.int8), prepend=0, append=0))
        self._firsts = edges[::2].tolist()
        self._ends = np.cumsum(edges[1::2] - edges[::2]).tolist()

    @property
    def count(self) -> int:
        """How many start times there are."""
        return self._ends[-1] if self._ends else 0

    def pick(self, fraction: float) -> float:
        """Return the start time, in seconds, at `fraction` (0 <= fraction < 1) of them all."""
        number = int(fraction * self.count)
        run = bisect_right(self._ends, number)
        before = self._ends[run - 1] if run else 0
        return round((self._firsts[run] + number - before) * _GRID_SECONDS, 6)


@dataclass(frozen=True)
class _StemChoice:
    song: str
    stem: Stem
    starts: StartTimes


@dataclass(frozen=True)
class _MixtureChoice:
    song: str
    mixture: Mixture
    starts: StartTimes
    vocals: tuple[ActiveSpan, ...]


class MixPool:
    """What one split offers, and the draws from it.

    Parameters
    ----------
    tracks, activities
        Catalog and activity of all splits; those of `split` are used.
    split
        The split to draw for. ``test`` draws equally from the four categories, the others
        draw the number of stems uniformly; ``train`` alone draws whole mixtures too, unless
        the evaluation settings give them a share.
    settings
        The pipeline's.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        activities: Sequence[StemActivity],
        split: str,
        settings: Settings,
    ) -> None:
        self.split = split
        self._settings = settings
        mixing = settings.mixing
        self._mixture_share = (
            mixing.whole_mixture_share
            if split == "train"
            else settings.evaluation.whole_mixture_share
        )
        spans = {(item.song, item.path, item.stem_class): item.spans for item in activities}
        own = [track for track in tracks if track.split == split]
        self._choices: dict[str, list[_StemChoice]] = {}
        for song, stem in ((track.song, stem) for track in own for stem in track.stems):
            heard = spans.get((song, stem.path, stem.stem_class), ())
            starts = self._starts(heard, stem.seconds)
            if starts.count:
                choices = self._choices.setdefault(stem.stem_class, [])
                choices.append(_StemChoice(song, stem, starts))
        self._mixtures = list(self._mixture_choices(own, spans)) if self._mixture_share else []
        self.classes = tuple(name for name in STEM_CLASSES if name in self._choices)
        self.songs = {item.song for items in self._choices.values() for item in items}
        self.max_stems = min(mixing.max_stems, len(self.classes))
        if mixing.distinct_songs:
            self.max_stems = min(self.max_stems, len(self.songs))
        self.categories = tuple(name for name in CATEGORIES if self._can_draw(name))

    def _starts(self, spans: Sequence[ActiveSpan], seconds: float) -> StartTimes:
        mixing = self._settings.mixing
        return StartTimes(spans, seconds, mixing.clip_seconds, mixing.min_active_share)

    def _mixture_choices(
        self, tracks: Sequence[Track], spans: dict[tuple[str, str, str], tuple[ActiveSpan, ...]]
    ) -> Iterator[_MixtureChoice]:
        for track in tracks:
            if track.mixture is None:
                continue
            heard = {
                stem.stem_class: spans.get((track.song, stem.path, stem.stem_class), ())
                for stem in track.stems
            }
            union = merge_spans(span for item in heard.values() for span in item)
            starts = self._starts(union, track.mixture.seconds)
            if starts.count:
                vocals = heard.get("vocals", ())
                yield _MixtureChoice(track.song, track.mixture, starts, vocals)

    def _can_draw(self, category: str) -> bool:
        others = [name for name in self.classes if name != "vocals"]
        has_vocals = "vocals" in self.classes
        return {
            "vocal": has_vocals,
            "single_stem": bool(others),
            "multi_stems": len(others) >= 2 and self.max_stems >= 2,
            "multi_stems_vocal": has_vocals and bool(others) and self.max_stems >= 2,
        }[category]

    def draw(self, index: int) -> MixRecipe:
        """Draw target `index` of the split; the same arguments always give the same recipe.

        Raises
        ------
        DataError
            The split has no stem to draw from, or fewer than the settings ask for.
        """
        settings = self._settings
        if self.max_stems < settings.mixing.min_stems or not self.categories:
            raise DataError(
                f"split {self.split!r}: mixes need {settings.mixing.min_stems} stems, but it has "
                f"{len(self.classes)} stem classes in {len(self.songs)} songs with enough activity"
            )
        rng = generator(settings.seed, f"mix/{self.split}", index)
        codings = self._draw_codings(rng, index)
        mixture: MixtureClip | None = None
        stems: tuple[StemClip, ...] = ()
        if self._mixtures and rng.random() < self._mixture_share:
            mixture, category = self._draw_mixture(rng)
        else:
            stems = self._draw_stems(rng, index)
            category = category_of(clip.stem_class for clip in stems)
        return MixRecipe(settings.seed, index, self.split, category, stems, codings, mixture)

    def _draw_codings(self, rng: np.random.Generator, index: int) -> tuple[Coding, ...]:
        if self.split == "test":
            evaluation = self._settings.evaluation
            plain = (Coding("mp3", float(bitrate)) for bitrate in evaluation.bitrates_kbps)
            return (*plain, *(c for variant in evaluation.variants for c in variant.every()))
        settings = self._settings
        fraction = rng.random()
        if settings.codec.variants:  # a generator of their own leaves the mixes as they were
            own = generator(settings.seed, f"coding/{self.split}", index)
            return (draw_variant(settings.codec.variants, own),)
        options = settings.codec.bitrates_kbps
        return (Coding("mp3", float(options[int(fraction * len(options))])),)

    def _draw_mixture(self, rng: np.random.Generator) -> tuple[MixtureClip, str]:
        place, time = rng.random(2)
        choice = self._mixtures[int(place * len(self._mixtures))]
        start = choice.starts.pick(time)
        seconds = self._settings.mixing.clip_seconds
        sings = any(
            span.start_seconds < start + seconds and span.end_seconds > start
            for span in choice.vocals
        )
        mixture = choice.mixture
        clip = MixtureClip(choice.song, mixture.path, start, seconds, mixture.sources)
        return clip, "multi_stems_vocal" if sings else "multi_stems"

    def _draw_stems(self, rng: np.random.Generator, index: int) -> tuple[StemClip, ...]:
        """Draw classes, then a song for each; redraw the classes where the songs run out."""
        best: tuple[StemClip, ...] = ()
        least, first, others, count = self._draw_case(rng, index)
        for _ in range(_ATTEMPTS):
            order = [*first, *(others[place] for place in rng.permutation(len(others)))]
            clips = self._choose_songs(rng, order, count)
            if len(clips) == count:
                return clips
            best = max(best, clips, key=len)
        if len(best) < least:
            raise DataError(
                f"split {self.split!r}: no {least} stems of different songs could be found; "
                "set mixing.distinct_songs = false or add songs"
            )
        return best

    def _draw_case(
        self, rng: np.random.Generator, index: int
    ) -> tuple[int, list[str], list[str], int]:
        """Return the least and the drawn number of stems, the class that must be, and the rest."""
        mixing = self._settings.mixing
        if self.split != "test":
            count = int(rng.integers(mixing.min_stems, self.max_stems + 1))
            return mixing.min_stems, [], list(self.classes), count
        category = self.categories[index % len(self.categories)]
        others = [name for name in self.classes if name != "vocals"]
        if category == "vocal":
            return 1, ["vocals"], [], 1
        if category == "single_stem":
            return 1, [], others, 1
        first = ["vocals"] if category == "multi_stems_vocal" else []
        most = min(self.max_stems, len(others) + len(first))
        return 2, first, others, int(rng.integers(max(2, mixing.min_stems), most + 1))

    def _choose_songs(
        self, rng: np.random.Generator, order: Sequence[str], count: int
    ) -> tuple[StemClip, ...]:
        mixing = self._settings.mixing
        lowest, highest = mixing.gain_db
        used: set[str] = set()
        clips: list[StemClip] = []
        for stem_class in order:
            choices = self._choices[stem_class]
            if mixing.distinct_songs:
                choices = [choice for choice in choices if choice.song not in used]
            if not choices:
                continue
            place, time, level = rng.random(3)
            choice = choices[int(place * len(choices))]
            used.add(choice.song)
            clips.append(
                StemClip(
                    song=choice.song,
                    stem_class=stem_class,
                    path=choice.stem.path,
                    start_seconds=choice.starts.pick(time),
                    seconds=mixing.clip_seconds,
                    gain_db=round(lowest + level * (highest - lowest), 3),
                    sources=choice.stem.sources,
                )
            )
            if len(clips) == count:
                break
        return tuple(clips)


def split_sizes(pools: dict[str, MixPool], settings: Settings) -> dict[str, int]:
    """Return how many targets each split gets; a split without songs gets none."""
    wanted = {
        "train": settings.shards.train_clips,
        "valid": settings.shards.valid_clips,
        "test": settings.evaluation.per_category * len(pools["test"].categories),
    }
    return {split: count if pools[split].categories else 0 for split, count in wanted.items()}


def draw_recipes(pools: dict[str, MixPool], settings: Settings) -> Iterator[MixRecipe]:
    """Yield the recipes of all splits, in order."""
    for split, count in split_sizes(pools, settings).items():
        yield from map(pools[split].draw, range(count))


def render(recipe: MixRecipe, root: Path, rate: int) -> Samples:
    """Render a recipe: the sum of its stems at their gains, or its stretch of a mixture.

    Parameters
    ----------
    recipe
        The draw.
    root
        The folder that the recipe's paths are relative to.
    rate
        Samples per second of the result.

    Returns
    -------
    Samples
        (2, samples) float32; not limited to full scale.

    Raises
    ------
    AudioError
        One of the files cannot be read.
    """
    if recipe.mixture is not None:
        return _read_clip(recipe.mixture, root, rate)
    stems = (
        _read_clip(clip, root, rate) * np.float32(10.0 ** (clip.gain_db / 20.0))
        for clip in recipe.stems
    )
    first = next(stems)
    return sum(stems, start=first)


def _read_clip(clip: StemClip | MixtureClip, root: Path, rate: int) -> Samples:
    files = files_of(root, clip.path, clip.sources)
    return read_sound(files, clip.start_seconds, round(clip.seconds * rate), rate)
