"""What each setting of mixing changes in the recipes, and what it leaves alone."""

import collections
import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import scipy.stats
from helpers.catalogs import described_song, library, pool

from apollo_data.errors import DataError, SettingsError
from apollo_data.mixing import MixPool, gain_at, split_sizes
from apollo_data.records import SPLITS, STEM_CLASSES, MixRecipe, StemClip
from apollo_data.settings import MixingSettings, Settings, load_settings, parse_settings
from apollo_data.workspace.manifest import from_json, to_json

DRAWS = 2000


def mixing(**rules: object) -> Settings:
    """The defaults but for these settings of mixing, and without whole mixtures."""
    return parse_settings({"mixing": {"whole_mixture_share": 0.0, **rules}}, "test")


def drawn(settings: Settings, split: str = "train", count: int = 200) -> list[MixRecipe]:
    drawing = pool(split, settings)
    return [drawing.draw(index) for index in range(count)]


def clips(recipes: list[MixRecipe]) -> list[StemClip]:
    return [clip for recipe in recipes for clip in recipe.stems]


def test_stem_counts_follow_their_weights() -> None:
    weights = [4, 0, 2, 1]
    rules = mixing(min_stems=2, max_stems=5, stem_count_weights=weights)
    counts = collections.Counter(len(recipe.stems) for recipe in drawn(rules, count=DRAWS))
    assert set(counts) == {2, 4, 5}
    seen = [counts[number] for number in (2, 4, 5)]
    assert scipy.stats.chisquare(seen, [DRAWS * part / 7 for part in (4, 2, 1)]).pvalue > 0.01


def test_weights_of_counts_that_a_split_cannot_reach_are_shared_by_the_rest() -> None:
    rules = mixing(max_stems=4, stem_count_weights=[1, 1, 0, 6])
    few = pool("train", rules, songs=6)
    assert collections.Counter(len(few.draw(index).stems) for index in range(100)).keys() == {1, 2}
    with pytest.raises(DataError, match="split 'train': mixes need 1 stems"):
        pool("train", mixing(max_stems=4, stem_count_weights=[0, 0, 0, 1]), songs=6).draw(0)


@pytest.mark.parametrize(
    ("law", "amplitude", "expected"),
    [
        ("uniform_db", False, scipy.stats.uniform(-12, 15)),
        ("uniform_amplitude", True, scipy.stats.uniform(10**-0.6, 10**0.15 - 10**-0.6)),
        ("normal_db", False, scipy.stats.truncnorm(-2, 2, loc=-4.5, scale=3.75)),
    ],
)
def test_gains_follow_their_law(
    law: str, amplitude: bool, expected: scipy.stats.rv_continuous
) -> None:
    gains = [clip.gain_db for clip in clips(drawn(mixing(gain_db=[-12, 3], gain_law=law)))]
    assert -12 <= min(gains) <= max(gains) <= 3
    seen = [10 ** (gain / 20) for gain in gains] if amplitude else gains
    assert scipy.stats.kstest(seen, expected.cdf).pvalue > 0.01


@pytest.mark.parametrize("law", ["uniform_db", "uniform_amplitude", "normal_db"])
def test_a_gain_law_reaches_both_ends_of_the_range_and_leaves_the_draws_alone(law: str) -> None:
    rules = MixingSettings(gain_db=(-20.0, 6.0), gain_law=law)
    assert (gain_at(0.0, rules), gain_at(1 - 1e-12, rules)) == (-20.0, 6.0)
    plain = [dataclasses.replace(clip, gain_db=0.0) for clip in clips(drawn(mixing()))]
    other = clips(drawn(mixing(gain_law=law, gain_db=[-20, 6])))
    assert [dataclasses.replace(clip, gain_db=0.0) for clip in other] == plain


def test_repeated_classes_come_from_different_songs() -> None:
    recipes = drawn(mixing(repeat_classes=True), count=DRAWS)
    counts = collections.Counter(len(recipe.stems) for recipe in recipes)
    assert scipy.stats.chisquare([counts[number] for number in range(1, 9)]).pvalue > 0.01
    classes = collections.Counter(clip.stem_class for clip in clips(recipes))
    assert scipy.stats.chisquare([classes[name] for name in STEM_CLASSES]).pvalue > 0.01
    repeats = 0
    for recipe in recipes:
        assert len(set(recipe.songs)) == len(recipe.stems)
        repeats += len({clip.stem_class for clip in recipe.stems}) < len(recipe.stems)
    expected = sum(1 - math.perm(11, number) / 11**number for number in range(1, 9)) / 8
    assert abs(repeats / DRAWS - expected) < 0.04


def test_without_distinct_songs_a_class_still_repeats_from_different_songs_only() -> None:
    rules = mixing(repeat_classes=True, distinct_songs=False, min_stems=8)
    few = pool("train", rules, songs=6)
    for recipe in (few.draw(index) for index in range(200)):
        stems = [(clip.song, clip.stem_class) for clip in recipe.stems]
        assert len(stems) == len(set(stems)) == 8


def test_a_pool_of_one_class_gives_several_stems_if_it_may_repeat() -> None:
    songs = [described_song(f"song{number}", "train", ("bass",)) for number in range(5)]
    tracks = [track for track, _ in songs]
    activities = [row for _, rows in songs for row in rows]
    assert MixPool(tracks, activities, "train", mixing().for_plan()).max_stems == 1
    repeating = MixPool(
        tracks, activities, "train", mixing(repeat_classes=True, min_stems=5).for_plan()
    )
    assert {clip.stem_class for clip in repeating.draw(0).stems} == {"bass"}
    assert len(repeating.draw(0).stems) == 5


def without_turns(recipes: list[MixRecipe]) -> list[StemClip]:
    return [
        dataclasses.replace(clip, pan=None, inverted=False, swapped=False)
        for clip in clips(recipes)
    ]


def test_turns_have_their_shares_and_leave_everything_else_alone() -> None:
    plain = clips(drawn(mixing(), count=500))
    turned = drawn(mixing(max_pan=0.5, inverted_share=0.25, swapped_share=0.75), count=500)
    assert without_turns(turned) == plain
    own = clips(turned)
    assert scipy.stats.kstest([c.pan for c in own], scipy.stats.uniform(-0.5, 1).cdf).pvalue > 0.01
    for share, number in (
        (0.25, sum(clip.inverted for clip in own)),
        (0.75, sum(clip.swapped for clip in own)),
    ):
        assert scipy.stats.binomtest(number, len(own), share).pvalue > 0.01


@pytest.mark.parametrize(
    ("rules", "of_clip"),
    [
        ({"max_pan": 0.5}, lambda clip: clip.pan),
        ({"inverted_share": 0.25}, lambda clip: clip.inverted),
        ({"swapped_share": 0.75}, lambda clip: clip.swapped),
    ],
)
def test_one_turn_is_drawn_the_same_with_and_without_the_others(
    rules: dict[str, float], of_clip: Callable[[StemClip], object]
) -> None:
    everything = {"max_pan": 0.5, "inverted_share": 0.25, "swapped_share": 0.75}
    alone, together = clips(drawn(mixing(**rules))), clips(drawn(mixing(**everything)))
    assert [of_clip(clip) for clip in alone] == [of_clip(clip) for clip in together]
    assert sum(clip.pan is not None for clip in alone) == ("max_pan" in rules) * len(alone)
    assert any(clip.inverted for clip in alone) == ("inverted_share" in rules)
    assert any(clip.swapped for clip in alone) == ("swapped_share" in rules)


def test_loudness_is_written_into_the_recipe_and_changes_nothing_else() -> None:
    levelled = clips(drawn(mixing(normalise_lufs=-23.0)))
    assert {clip.normalise_lufs for clip in levelled} == {-23.0}
    plain = [dataclasses.replace(clip, normalise_lufs=None) for clip in levelled]
    assert plain == clips(drawn(mixing()))


def test_recipes_with_options_travel_as_json_and_without_them_look_as_ever() -> None:
    rules = mixing(max_pan=1.0, inverted_share=0.5, swapped_share=0.5, normalise_lufs=-20.0)
    for recipe in drawn(rules, count=20):
        assert from_json(MixRecipe, to_json(recipe)) == recipe
    names = {
        name for recipe in drawn(mixing()) for clip in to_json(recipe)["stems"] for name in clip
    }
    assert names == {"song", "stem_class", "path", "start_seconds", "seconds", "gain_db"}


FREE = {
    "name": "other",
    "mixing": {
        "min_stems": 2,
        "max_stems": 3,
        "gain_db": [0.0, 1.0],
        "gain_law": "normal_db",
        "repeat_classes": True,
        "distinct_songs": False,
        "min_active_share": 0.1,
        "normalise_lufs": -23.0,
        "max_pan": 1.0,
        "whole_mixture_share": 1.0,
    },
    "codec": {"bitrates_kbps": [32], "paper_clamp": True},
    "shards": {"train_clips": 5, "valid_clips": 0, "clips_per_shard": 7},
    "training": {"seed": 9},
    "evaluation": {"per_category": 7},
}


def test_the_test_set_follows_from_evaluation_and_seed_alone() -> None:
    asked = drawn(Settings(), "test")
    assert drawn(parse_settings(FREE, "test"), "test") == asked
    tracks, activities = library()
    own = [track for track in tracks if track.split == "test"]
    heard = [row for row in activities if row.split == "test"]
    alone = MixPool(own, heard, "test", Settings().for_plan())
    assert [alone.draw(index) for index in range(200)] == asked
    assert drawn(parse_settings({"seed": 1}, "test"), "test") != asked
    kept = parse_settings({"seed": 1, "evaluation": {"seed": 0}}, "test")
    assert drawn(kept, "test") == asked
    assert drawn(kept) == drawn(parse_settings({"seed": 1}, "test"))


def test_more_targets_per_category_or_other_bitrates_leave_the_drawn_ones() -> None:
    asked = drawn(Settings(), "test")
    few = parse_settings({"evaluation": {"per_category": 3, "bitrates_kbps": [24, 64]}}, "test")
    pools = {split: pool(split, few) for split in SPLITS}
    assert split_sizes(pools, few.for_plan())["test"] == 12
    recipes = [pools["test"].draw(index) for index in range(12)]
    assert set(collections.Counter(recipe.category for recipe in recipes).values()) == {3}
    for recipe, other in zip(recipes, asked, strict=False):
        assert [coding.requested_kbps for coding in recipe.codings] == [24.0, 64.0]
        assert dataclasses.replace(recipe, codings=other.codings) == other


def test_the_test_split_has_rules_of_its_own() -> None:
    rules = {"max_stems": 3, "gain_db": [0.0, 0.0], "repeat_classes": True}
    recipes = drawn(parse_settings({"evaluation": {"mixing": rules}}, "test"), "test", 400)
    assert {clip.gain_db for clip in clips(recipes)} == {0.0}
    assert {len(recipe.stems) for recipe in recipes} == {1, 2, 3}
    assert set(collections.Counter(recipe.category for recipe in recipes).values()) == {100}
    assert any(
        len({clip.stem_class for clip in recipe.stems}) < len(recipe.stems) for recipe in recipes
    )


def test_the_test_split_stays_balanced_with_whole_mixtures() -> None:
    settings = parse_settings({"evaluation": {"whole_mixture_share": 0.5}}, "test")
    recipes = drawn(settings, "test", 400)
    assert set(collections.Counter(recipe.category for recipe in recipes).values()) == {100}
    whole = [recipe for recipe in recipes if recipe.mixture is not None]
    # In these songs vocals sound whenever anything does.
    assert {recipe.category for recipe in whole} == {"multi_stems_vocal"}
    assert 30 < len(whole) < 70


def test_a_category_that_the_songs_cannot_give_is_not_asked_for() -> None:
    songs = [
        described_song("band", "test", ("bass", "drums")),
        described_song("singer", "test", ("vocals",)),
    ]
    tracks, activities = [track for track, _ in songs], [row for _, rows in songs for row in rows]
    assert MixPool(tracks, activities, "test", Settings().for_plan()).categories == (
        "vocal",
        "single_stem",
        "multi_stems_vocal",
    )
    shared = parse_settings({"evaluation": {"mixing": {"distinct_songs": False}}}, "test")
    free = MixPool(tracks, activities, "test", shared.for_plan())
    assert len(free.categories) == 4
    assert {clip.stem_class for clip in free.draw(2).stems} == {"bass", "drums"}
    demanding = parse_settings({"evaluation": {"mixing": {"min_stems": 3}}}, "test")
    assert MixPool(tracks, activities, "test", demanding.for_plan()).categories == (
        "vocal",
        "single_stem",
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mixing": {"stem_count_weights": [1, 2]}}, "8 numbers, one for each count from 1 to 8"),
        ({"mixing": {"max_stems": 2, "stem_count_weights": [0, 0]}}, "not all of them 0"),
        ({"mixing": {"max_stems": 2, "stem_count_weights": [1, -1]}}, "stem_count_weights.1"),
        ({"mixing": {"max_stems": 1, "stem_count_weights": [math.inf]}}, "stem_count_weights.0"),
        ({"mixing": {"gain_db": [-math.inf, 0]}}, "gain_db.0"),
        ({"mixing": {"gain_db": [1, 0]}}, "gain_db must be [lowest, highest]"),
        ({"mixing": {"gain_law": "loud"}}, "gain_law"),
        ({"mixing": {"max_pan": 1.5}}, "max_pan"),
        ({"mixing": {"normalise_lufs": 3}}, "normalise_lufs"),
        ({"mixing": {"normalise_lufs": -20, "clip_seconds": 0.3}}, "0.4 or more"),
        (
            {"mixing": {"clip_seconds": 0.3}, "evaluation": {"mixing": {"normalise_lufs": -20}}},
            "evaluation.mixing.normalise_lufs",
        ),
        ({"evaluation": {"mixing": {"clip_seconds": 1.0}}}, "evaluation.mixing.clip_seconds"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_in_one_line(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)) as caught:
        parse_settings(values, "mine.toml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_every_example_in_the_documentation_is_a_valid_pipeline(tmp_path: Path) -> None:
    text = Path("docs/mixing.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 4
    for example in examples:
        (tmp_path / "default.toml").write_text(example)
        assert load_settings(tmp_path / "default.toml") != Settings()
    names = {*MixingSettings.model_fields, *type(Settings().evaluation).model_fields}
    assert all(f"`{name}`" in text for name in names)
