"""The categories of mixes: for each, the stem classes and stem counts that a split allows."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from apollo_data.mixing.candidates import Candidates
from apollo_data.records import CATEGORIES
from apollo_data.settings import StemMixSettings


@dataclass(frozen=True)
class Bounds:
    """The stem classes that a mix is drawn from, and the limits of its stem count.

    Attributes
    ----------
    first
        Classes that must be in it.
    others
        Classes that the rest is drawn from.
    least, most
        Smallest and largest number of stems.
    """

    first: tuple[str, ...]
    others: tuple[str, ...]
    least: int
    most: int


def any_category(candidates: Candidates, rules: StemMixSettings) -> Bounds:
    """Return the bounds of a mix of any category."""
    return Bounds(
        (), candidates.classes, rules.min_stems, _most(candidates, rules, (), candidates.classes)
    )


def bounds_of(category: str, candidates: Candidates, rules: StemMixSettings) -> Bounds:
    """Return the bounds of a mix of one category; one with vocals has one vocals stem."""
    others = tuple(name for name in candidates.classes if name != "vocals")
    if category == "vocal":
        return Bounds(("vocals",), (), 1, 1)
    if category == "single_stem":
        return Bounds((), others, 1, 1)
    first = ("vocals",) if category == "multi_stems_vocal" else ()
    return Bounds(first, others, max(2, rules.min_stems), _most(candidates, rules, first, others))


def _most(
    candidates: Candidates, rules: StemMixSettings, first: tuple[str, ...], others: tuple[str, ...]
) -> int:
    """Return the greatest number of stems that rules, classes and songs allow."""
    if rules.repeat_classes:
        places = sum(len(candidates.choices[name].songs) for name in others)
    else:
        places = len(others)
    most = min(rules.max_stems, len(first) + places)
    return min(most, len(candidates.songs)) if rules.distinct_songs else most


def possible_categories(candidates: Candidates, rules: StemMixSettings) -> tuple[str, ...]:
    """Return the categories of which the split can give mixes."""
    bounds = {name: bounds_of(name, candidates, rules) for name in CATEGORIES}
    return tuple(name for name, own in bounds.items() if _is_possible(own, candidates, rules))


def _is_possible(bounds: Bounds, candidates: Candidates, rules: StemMixSettings) -> bool:
    if not all(name in candidates.classes for name in bounds.first):
        return False
    if bounds.least == 1:
        return bool(bounds.first or bounds.others)
    return can_count(bounds, rules) and _has_pair(bounds, candidates, rules)


def can_count(bounds: Bounds, rules: StemMixSettings) -> bool:
    """Tell whether there is a number of stems within the bounds to draw."""
    return bounds.least <= bounds.most and any(_weights(bounds, rules))


def _has_pair(bounds: Bounds, candidates: Candidates, rules: StemMixSettings) -> bool:
    """Tell whether the split has two stems that the rules allow in one mix."""
    for one in bounds.first or bounds.others:
        for other in bounds.others:
            if one == other and not rules.repeat_classes:
                continue
            apart = rules.distinct_songs or one == other
            songs = {*candidates.choices[one].songs, *candidates.choices[other].songs}
            if not apart or len(songs) >= 2:
                return True
    return False


def draw_count(rng: np.random.Generator, bounds: Bounds, rules: StemMixSettings) -> int:
    """Draw the number of stems."""
    if bounds.least == bounds.most:
        return bounds.least
    if rules.stem_count_weights is None:
        return int(rng.integers(bounds.least, bounds.most + 1))
    sums = list(accumulate(_weights(bounds, rules)))
    return bounds.least + bisect_right(sums, rng.random() * sums[-1])


def _weights(bounds: Bounds, rules: StemMixSettings) -> tuple[float, ...]:
    """Return the weights of the numbers from the least to the most."""
    if rules.stem_count_weights is None:
        return (1.0,) * (bounds.most - bounds.least + 1)
    first = rules.min_stems
    return rules.stem_count_weights[bounds.least - first : bounds.most - first + 1]
