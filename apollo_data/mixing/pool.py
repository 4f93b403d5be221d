"""Draws: everything random about a clip, from a seed and an index."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from apollo_data.errors import DataError
from apollo_data.mixing.candidates import Candidates
from apollo_data.mixing.categories import (
    Bounds,
    any_category,
    bounds_of,
    can_count,
    draw_count,
    possible_categories,
)
from apollo_data.mixing.gains import gain_at
from apollo_data.random_streams import GeneratorSeries
from apollo_data.records import (
    Coding,
    MixRecipe,
    MixtureClip,
    StemActivity,
    StemClip,
    Track,
    category_of,
)
from apollo_data.settings import PlanSettings, StemMixSettings
from apollo_data.settings.codec_variants import draw_variant

_ATTEMPTS = 20


class MixPool:
    """The candidates of one split, and the draws from them.

    Parameters
    ----------
    tracks, activities
        Catalog and activity of all splits; those of `split` are used.
    split
        The split to draw for. ``test`` draws equally from the four categories, by the rules of
        the evaluation settings; the others draw the number of stems, by those of the mixing
        settings. ``train`` alone draws whole mixtures too, unless the evaluation settings give
        them a share.
    settings
        What the plan follows from.

    Attributes
    ----------
    rules
        The split's.
    classes, songs
        Those with a stem to draw from.
    max_stems
        The greatest number of stems that the rules, the classes and the songs allow.
    categories
        Categories that the split can provide; songs without stems count as several stems.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        activities: Sequence[StemActivity],
        split: str,
        settings: PlanSettings,
    ) -> None:
        self.split = split
        self._settings = settings
        mixing, evaluation = settings.mixing, settings.evaluation
        is_test = split == "test"
        self.rules: StemMixSettings = evaluation.mixing if is_test else mixing
        own_seed = evaluation.seed if is_test else None
        self._seed = settings.seed if own_seed is None else own_seed
        self._mixture_share = (
            mixing.whole_mixture_share if split == "train" else evaluation.whole_mixture_share
        )
        own = [track for track in tracks if track.split == split]
        candidates = Candidates(own, activities, mixing.clip_seconds, self.rules.min_active_share)
        self._choices = candidates.choices
        wanted = self._mixture_share or not candidates.classes
        self._mixtures = list(candidates.mixtures()) if wanted else []
        self._whole_only = bool(self._mixtures) and not candidates.classes
        self.classes, self.songs = candidates.classes, candidates.songs
        self.categories = (
            ("multi_stems",) if self._whole_only else possible_categories(candidates, self.rules)
        )
        self._any = any_category(candidates, self.rules)
        self._bounds = {name: bounds_of(name, candidates, self.rules) for name in self.categories}
        self.max_stems = self._any.most
        self._generators = GeneratorSeries(self._seed, f"mix/{split}")
        # Streams of their own: other pan or codec settings leave the mixes as they are.
        self._panning = GeneratorSeries(self._seed, f"mix/{split}/turns")
        self._codings = GeneratorSeries(self._seed, f"coding/{split}")

    def draw(self, index: int) -> MixRecipe:
        """Draw target `index` of the split; the same arguments always give the same recipe.

        Raises
        ------
        DataError
            The split has no stem to draw from, or fewer than the settings ask for.
        """
        category = self._category_of_target(index)
        rng = self._generators.at(index)
        codings = self._draw_codings(rng, index)
        stems: tuple[StemClip, ...] = ()
        mixture = self._draw_mixture(rng, category)
        if mixture is None:
            stems = self._draw_placement(index, self._draw_stems(rng, category))
            category = category_of(clip.stem_class for clip in stems)
            return MixRecipe(self._seed, index, self.split, category, stems, codings)
        clip, category = mixture
        return MixRecipe(self._seed, index, self.split, category, stems, codings, clip)

    def _category_of_target(self, index: int) -> str | None:
        """Return the category that a target must have; None if it is drawn."""
        possible = self.split == "test" or self._whole_only or can_count(self._any, self.rules)
        if not possible or not self.categories:
            raise DataError(
                f"split {self.split!r}: mixes need {self.rules.min_stems} stems, but it has "
                f"{len(self.classes)} stem classes in {len(self.songs)} songs with enough activity"
            )
        return self.categories[index % len(self.categories)] if self.split == "test" else None

    def _draw_codings(self, rng: np.random.Generator, index: int) -> tuple[Coding, ...]:
        codec, evaluation = self._settings.codec, self._settings.evaluation
        if self.split == "test":
            plain = (Coding("mp3", float(bitrate)) for bitrate in evaluation.bitrates_kbps)
            return (*plain, *(c for variant in evaluation.variants for c in variant.every()))
        fraction, options = rng.random(), codec.bitrates_kbps
        if codec.variants:
            return (draw_variant(codec.variants, self._codings.at(index)),)
        return (Coding("mp3", float(options[int(fraction * len(options))])),)

    def _draw_mixture(
        self, rng: np.random.Generator, wanted: str | None
    ) -> tuple[MixtureClip, str] | None:
        """Draw a clip of a whole mixture and its category; return None if stems are to be drawn.

        None is left to chance, and follows where `wanted` is a category of one stem, or one
        that no clip was found for.
        """
        if self._whole_only:
            return self._choose_mixture(rng)
        several = wanted is None or wanted.startswith("multi")
        if not self._mixtures or not several or rng.random() >= self._mixture_share:
            return None
        for _ in range(_ATTEMPTS):
            clip, category = self._choose_mixture(rng)
            if wanted in (None, category):
                return clip, category
        return None

    def _choose_mixture(self, rng: np.random.Generator) -> tuple[MixtureClip, str]:
        place, time = rng.random(2).tolist()
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

    def _draw_stems(self, rng: np.random.Generator, wanted: str | None) -> tuple[StemClip, ...]:
        """Draw classes, then a song for each; redraw the classes where the songs run out."""
        bounds = self._any if wanted is None else self._bounds[wanted]
        count = draw_count(rng, bounds, self.rules)
        best: tuple[StemClip, ...] = ()
        for _ in range(_ATTEMPTS):
            clips = self._choose_songs(rng, self._draw_classes(rng, bounds, count), count)
            if len(clips) == count:
                return clips
            best = max(best, clips, key=len)
        if len(best) < bounds.least:
            section = "evaluation.mixing" if self.split == "test" else "mixing"
            raise DataError(
                f"split {self.split!r}: no {bounds.least} stems of different songs could be found; "
                f"set {section}.distinct_songs = false or add songs"
            )
        return best

    def _draw_classes(self, rng: np.random.Generator, bounds: Bounds, count: int) -> list[str]:
        """Return classes in the order in which they are tried."""
        if self.rules.repeat_classes and bounds.others:
            # More than needed: a class is skipped if all its songs are taken.
            places = rng.integers(len(bounds.others), size=4 * count)
        else:
            places = rng.permutation(len(bounds.others))
        return [*bounds.first, *(bounds.others[place] for place in places.tolist())]

    def _choose_songs(
        self, rng: np.random.Generator, order: Sequence[str], count: int
    ) -> tuple[StemClip, ...]:
        rules = self.rules
        seconds = self._settings.mixing.clip_seconds
        taken: defaultdict[str, set[str]] = defaultdict(set)
        clips: list[StemClip] = []
        for stem_class in order:
            # A song gives one stem to a mix or, if the rules allow more, one of each class.
            barred_songs = taken["any" if rules.distinct_songs else stem_class]
            choices = self._choices[stem_class]
            barred = choices.places_of(barred_songs)
            if len(barred) == len(choices):
                continue
            place, time, level = rng.random(3).tolist()
            choice = choices.pick(place, barred)
            barred_songs.add(choice.song)
            clips.append(
                StemClip(
                    song=choice.song,
                    stem_class=stem_class,
                    path=choice.stem.path,
                    start_seconds=choice.starts.pick(time),
                    seconds=seconds,
                    gain_db=gain_at(level, rules),
                    sources=choice.stem.sources,
                    normalise_lufs=rules.normalise_lufs,
                )
            )
            if len(clips) == count:
                break
        return tuple(clips)

    def _draw_placement(self, index: int, clips: tuple[StemClip, ...]) -> tuple[StemClip, ...]:
        """Draw pan, polarity and channel order; every draw is made, used or not."""
        rules = self.rules
        if not (rules.max_pan or rules.inverted_share or rules.swapped_share):
            return clips
        draws = self._panning.at(index).random((len(clips), 3)).tolist()
        return tuple(
            dataclasses.replace(
                clip,
                pan=round((2.0 * place - 1.0) * rules.max_pan, 3) if rules.max_pan else None,
                inverted=polarity < rules.inverted_share,
                swapped=order < rules.swapped_share,
            )
            for clip, (place, polarity, order) in zip(clips, draws, strict=True)
        )


def split_sizes(pools: dict[str, MixPool], settings: PlanSettings) -> dict[str, int]:
    """Return how many targets each split gets; a split without songs gets none."""
    wanted = {
        "train": settings.train_clips,
        "valid": settings.valid_clips,
        "test": settings.evaluation.per_category * len(pools["test"].categories),
    }
    return {split: count if pools[split].categories else 0 for split, count in wanted.items()}


def draw_recipes(pools: dict[str, MixPool], settings: PlanSettings) -> Iterator[MixRecipe]:
    """Yield the recipes of all splits, in order."""
    for split, count in split_sizes(pools, settings).items():
        yield from map(pools[split].draw, range(count))
