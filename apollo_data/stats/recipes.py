"""What chance decided: counts over recipes, one recipe at a time."""

import math
from collections import Counter
from dataclasses import dataclass, field

from apollo_data.records import MixRecipe
from apollo_data.stats.distribution import Distribution


def coding_label(codec: str, requested_kbps: float) -> str:
    """Name a codec and bitrate; one that no bitrate was asked of by the codec alone.

    Examples
    --------
    >>> coding_label("mp3", 24.0), coding_label("mp3", float("nan"))
    ('mp3 24', 'mp3')
    """
    return f"{codec} {requested_kbps:g}" if math.isfinite(requested_kbps) else codec


@dataclass
class Coded:
    """The pairs of one codec and requested bitrate, which is NaN where none was asked for.

    The distributions are filled where there are shards: true bitrates of all pairs, and where
    the spectra of the measured ones end on the coded and on the clean side.
    """

    codec: str
    requested_kbps: float
    pairs: int = 0
    actual_kbps: Distribution = field(default_factory=Distribution)
    edge_hz: Distribution = field(default_factory=Distribution)
    clean_edge_hz: Distribution = field(default_factory=Distribution)


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
    codings
        Pairs by codec and requested bitrate, under the names of `coding_label`.
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
    songs: Counter[str] = field(default_factory=Counter)
    codings: dict[str, Coded] = field(default_factory=dict)
    gains_db: Distribution = field(default_factory=Distribution)

    def add(self, recipe: MixRecipe) -> None:
        """Count one target and its pairs."""
        clips = (recipe.mixture,) if recipe.mixture else recipe.stems
        seconds = max((clip.seconds for clip in clips), default=0.0)
        self.targets += 1
        self.pairs += len(recipe.codings)
        self.target_seconds += seconds
        self.pair_seconds += seconds * len(recipe.codings)
        self.categories[recipe.category] += 1
        self.songs.update(recipe.songs)
        for coding in recipe.codings:
            self.coded(coding.codec, coding.requested_kbps).pairs += 1
        if recipe.mixture is not None:
            self.whole_mixtures += 1
            return
        self.stems_per_mix[len(recipe.stems)] += 1
        self.stem_classes.update(clip.stem_class for clip in recipe.stems)
        self.gains_db.extend(clip.gain_db for clip in recipe.stems)

    def coded(self, codec: str, requested_kbps: float) -> Coded:
        """Return what is known of the pairs of one codec and requested bitrate."""
        label = coding_label(codec, requested_kbps)
        return self.codings.setdefault(label, Coded(codec, float(requested_kbps)))
