"""Which mixes a split can give: for each category, its classes and its numbers of stems."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from apollo_data.mixing.candidates import Offer
from apollo_data.records import CATEGORIES
from apollo_data.settings import StemMixSettings


@dataclass(frozen=True)
class Case:
    """What a mix is drawn from.

    Attributes
    ----------
    first
        Classes that must be in it.
    others
        Classes that the rest is drawn from.
    least, most
        Bounds of the number of stems.
    """

    first: tuple[str, ...]
    others: tuple[str, ...]
    least: int
    most: int


def any_mix(offer: Offer, rules: StemMixSettings) -> Case:
    """Return the case of a mix that may be of any category."""
    return Case((), offer.classes, rules.min_stems, _most(offer, rules, (), offer.classes))


def case_of(category: str, offer: Offer, rules: StemMixSettings) -> Case:
    """Return the case of a mix of one category; of the several-stem ones, one vocals stem."""
    others = tuple(name for name in offer.classes if name != "vocals")
    if category == "vocal":
        return Case(("vocals",), (), 1, 1)
    if category == "single_stem":
        return Case((), others, 1, 1)
    first = ("vocals",) if category == "multi_stems_vocal" else ()
    return Case(first, others, max(2, rules.min_stems), _most(offer, rules, first, others))


def _most(
    offer: Offer, rules: StemMixSettings, first: tuple[str, ...], others: tuple[str, ...]
) -> int:
    """Return the greatest number of stems that rules, classes and songs allow."""
    if rules.repeat_classes:
        places = sum(len(offer.choices[name].songs) for name in others)
    else:
        places = len(others)
    most = min(rules.max_stems, len(first) + places)
    return min(most, len(offer.songs)) if rules.distinct_songs else most


def possible_categories(offer: Offer, rules: StemMixSettings) -> tuple[str, ...]:
    """Return the categories of which the split can give mixes."""
    cases = {name: case_of(name, offer, rules) for name in CATEGORIES}
    return tuple(name for name, case in cases.items() if _is_possible(case, offer, rules))


def _is_possible(case: Case, offer: Offer, rules: StemMixSettings) -> bool:
    if not all(name in offer.classes for name in case.first):
        return False
    if case.least == 1:
        return bool(case.first or case.others)
    return can_count(case, rules) and _has_pair(case, offer, rules)


def can_count(case: Case, rules: StemMixSettings) -> bool:
    """Tell whether there is a number of stems within the case's bounds to be drawn."""
    return case.least <= case.most and any(_weights(case, rules))


def _has_pair(case: Case, offer: Offer, rules: StemMixSettings) -> bool:
    """Tell whether two stems may stand beside each other: classes and songs decide."""
    for one in case.first or case.others:
        for other in case.others:
            if one == other and not rules.repeat_classes:
                continue
            apart = rules.distinct_songs or one == other
            songs = {*offer.choices[one].songs, *offer.choices[other].songs}
            if not apart or len(songs) >= 2:
                return True
    return False


def draw_count(rng: np.random.Generator, case: Case, rules: StemMixSettings) -> int:
    """Draw the number of stems."""
    if case.least == case.most:
        return case.least
    if rules.stem_count_weights is None:
        return int(rng.integers(case.least, case.most + 1))
    sums = list(accumulate(_weights(case, rules)))
    return case.least + bisect_right(sums, rng.random() * sums[-1])


def _weights(case: Case, rules: StemMixSettings) -> tuple[float, ...]:
    """Return the weights of the numbers from the case's least to its most."""
    if rules.stem_count_weights is None:
        return (1.0,) * (case.most - case.least + 1)
    first = rules.min_stems
    return rules.stem_count_weights[case.least - first : case.most - first + 1]
