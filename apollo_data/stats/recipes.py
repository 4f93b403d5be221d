"""Counts over recipes: stems per mix, classes, categories, songs, gains."""

from collections import Counter
from dataclasses import dataclass, field

from apollo_data.records import MixRecipe
from apollo_data.stats.distribution import Distribution


@dataclass
class RecipeCounts:
    """Running counts over the recipes of one split.

    Attributes
    ----------
    targets, pairs
        Clips drawn, and coded forms of them.
    target_seconds, pair_seconds
        Their lengths in all.
    whole_mixtures
        Targets that were cut from a song's mixture; the others are mixes of stems.
    stems_per_mix
        How many mixes have how many stems.
    stem_classes, categories, songs
        How many clips there are of each; a mix counts once for each of its stems' songs.
    gains_db
        Gain of every stem of every mix.
    """

    targets: int = 0
    pairs: int = 0
    target_seconds: float = 0.0
    pair_seconds: float = 0.0
    whole_mixtures: int = 0
    stems_per_mix: Counter[int] = field(default_factory=Counter)
    stem_classes: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)
    own_pairs: int = 0
    songs: Counter[str] = field(default_factory=Counter)
    gains_db: Distribution = field(default_factory=Distribution)

    def add(self, recipe: MixRecipe) -> None:
        """Count one target and its pairs."""
        whole = recipe.mixture or recipe.pair
        clips = (whole,) if whole else recipe.stems
        seconds = max((clip.seconds for clip in clips), default=0.0)
        self.targets += 1
        self.pairs += len(recipe.codings)
        self.target_seconds += seconds
        self.pair_seconds += seconds * len(recipe.codings)
        self.categories[recipe.category] += 1
        self.songs.update(recipe.songs)
        self.whole_mixtures += recipe.mixture is not None
        self.own_pairs += recipe.pair is not None
        if whole:
            return
        self.stems_per_mix[len(recipe.stems)] += 1
        self.stem_classes.update(clip.stem_class for clip in recipe.stems)
        self.gains_db.extend(clip.gain_db for clip in recipe.stems)
