import collections
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from helpers.catalogs import SECONDS, SPANS, library, pool
from helpers.small_songs import RATE, small_settings

from apollo_data.audio.files import files_of, read_sound
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.mixing import MixPool, StartTimes, draw_recipes, render, split_sizes
from apollo_data.pipeline import prepare
from apollo_data.records import (
    SPLITS,
    STEM_CLASSES,
    Coding,
    MixRecipe,
    StemClip,
)
from apollo_data.settings import Settings
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import to_json

POOLS = {split: pool(split, small_settings()) for split in SPLITS}


def test_start_times_are_all_those_with_enough_activity_and_equally_likely() -> None:
    starts = StartTimes(SPANS, SECONDS, 3.0, 1.0)
    assert starts.count == 1701 + 1201
    picks = [starts.pick(fraction) for fraction in (np.arange(starts.count) + 0.5) / starts.count]
    expected = [*np.arange(500, 2201) / 100, *np.arange(4000, 5201) / 100]
    assert picks == pytest.approx(expected)
    half = StartTimes(SPANS, SECONDS, 3.0, 0.5)
    assert half.pick(0.0) == 3.5
    assert StartTimes(SPANS, SECONDS, 70.0, 0.1).count == 0
    assert StartTimes((), SECONDS, 3.0, 0.0).count == 0


# SHA-256 of the first 1500 recipes of each split as JSON, with the documented defaults. They
# may never change: whoever has the settings, the seed and the songs has the data.
GOLDEN = {
    "train": "1a0661c02fb83d66f5c5d6c83329a8b7d39397dc6bc4284c9e88a00d369674ba",
    "valid": "9344214b94f3371c7a943129c5bdd76b8bb1423eafc4e5a58414c5f6f1c0dac1",
    "test": "2b381a8990e8e511608de6b83513c92e41f0d2bf6f811b445bde3563920b632f",
}


@pytest.mark.parametrize("split", SPLITS)
def test_recipes_of_the_defaults_never_change(split: str) -> None:
    defaults = pool(split, Settings())
    rows = "\n".join(json.dumps(to_json(defaults.draw(index))) for index in range(1500))
    assert hashlib.sha256(rows.encode()).hexdigest() == GOLDEN[split]


def test_a_draw_depends_on_seed_and_index_alone() -> None:
    settings = small_settings()
    recipes = [pool("train", settings).draw(index) for index in range(20)]
    backwards = [pool("train", settings).draw(index) for index in reversed(range(20))]
    assert recipes == backwards[::-1]
    other = small_settings(seed=6)
    assert recipes != [pool("train", other).draw(index) for index in range(20)]


def test_draws_follow_the_settings() -> None:
    settings = small_settings(mixing={"whole_mixture_share": 0.0})
    train = pool("train", settings)
    recipes = [train.draw(index) for index in range(2000)]
    counts = collections.Counter(len(recipe.stems) for recipe in recipes)
    assert set(counts) == set(range(1, 9))
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.01
    gains = [clip.gain_db for recipe in recipes for clip in recipe.stems]
    assert scipy.stats.kstest(gains, scipy.stats.uniform(-10, 20).cdf).pvalue > 0.01
    classes = collections.Counter(clip.stem_class for recipe in recipes for clip in recipe.stems)
    assert scipy.stats.chisquare([classes[name] for name in STEM_CLASSES]).pvalue > 0.01
    bitrates = collections.Counter(recipe.codings[0].requested_kbps for recipe in recipes)
    assert set(bitrates) == {24, 32, 48, 64, 96, 128}
    assert scipy.stats.chisquare(list(bitrates.values())).pvalue > 0.01
    for recipe in recipes:
        assert len(recipe.codings) == 1
        assert len({clip.stem_class for clip in recipe.stems}) == len(recipe.stems)
        assert len(set(recipe.songs)) == len(recipe.stems)


def test_no_song_leaves_its_split_and_clips_lie_in_active_spans() -> None:
    settings = small_settings()
    for split in SPLITS:
        own = {track.song for track in library()[0] if track.split == split}
        for index in range(200):
            recipe = POOLS[split].draw(index)
            assert set(recipe.songs) <= own
            for clip in recipe.stems:
                heard = sum(
                    max(
                        0.0,
                        min(span.end_seconds, clip.start_seconds + clip.seconds)
                        - max(span.start_seconds, clip.start_seconds),
                    )
                    for span in SPANS
                )
                assert heard >= settings.mixing.min_active_share * clip.seconds - 1e-6


def test_whole_mixtures_have_their_share_in_training_alone() -> None:
    recipes = [POOLS["train"].draw(index) for index in range(1000)]
    whole = [recipe for recipe in recipes if recipe.mixture is not None]
    assert 0.45 < len(whole) / 1000 < 0.55
    assert all(not recipe.stems for recipe in whole)
    assert {recipe.category for recipe in whole} == {"multi_stems_vocal"}
    for split in ("valid", "test"):
        assert all(POOLS[split].draw(index).mixture is None for index in range(200))


def test_the_test_split_is_balanced_and_carries_every_bitrate() -> None:
    recipes = [POOLS["test"].draw(index) for index in range(400)]
    categories = collections.Counter(recipe.category for recipe in recipes)
    assert set(categories.values()) == {100}
    for recipe in recipes:
        assert [coding.requested_kbps for coding in recipe.codings] == [24, 32, 48, 64, 96, 128]


def test_few_songs_give_smaller_mixes_unless_songs_may_repeat() -> None:
    few = pool("train", small_settings(mixing={"whole_mixture_share": 0.0}), songs=6)
    assert few.max_stems == 2
    assert {len(few.draw(index).stems) for index in range(50)} == {1, 2}
    repeating = small_settings(mixing={"distinct_songs": False, "whole_mixture_share": 0.0})
    assert pool("train", repeating, songs=6).max_stems == 8


def test_a_split_without_songs_gets_no_clips_and_says_so_when_asked() -> None:
    settings = small_settings()
    pools = {split: pool(split, settings, songs=2) for split in SPLITS}
    assert split_sizes(pools, settings.for_plan()) == {"train": 10, "valid": 3, "test": 0}
    assert len(list(draw_recipes(pools, settings.for_plan()))) == 13
    with pytest.raises(DataError, match="split 'test'"):
        pools["test"].draw(0)


def test_rendering_is_the_sum_of_stems_at_their_gains(songs: Path, tmp_path: Path) -> None:
    work = WorkFolder.at(tmp_path)
    settings = small_settings()
    found = prepare(songs, work, settings, 1, Console(quiet=True))
    tracks, activities = found.tracks, found.activities
    train = MixPool(tracks.rows, activities.rows, "train", settings.for_plan())
    recipe = next(recipe for index in range(50) if len((recipe := train.draw(index)).stems) >= 2)
    expected = np.zeros((2, RATE))
    for clip in recipe.stems:
        files = files_of(songs, clip.path, clip.sources)
        stem = read_sound(files, clip.start_seconds, RATE, RATE).astype(np.float64)
        expected += stem * 10 ** (clip.gain_db / 20)
    rendered = render(recipe, songs, RATE)
    assert rendered.dtype == np.float32
    assert np.abs(rendered - expected).max() < 1e-6
    assert np.abs(rendered).max() > 0.01


def test_a_gain_of_20_db_is_a_factor_of_ten(songs: Path) -> None:
    path = "mus/test/Other Band - It's a Tüne/bass.wav"
    clips = [
        MixRecipe(
            0,
            0,
            "test",
            "single_stem",
            (StemClip("s", "bass", path, 1.0, 0.5, gain),),
            (Coding("mp3", 24.0),),
        )
        for gain in (0.0, 20.0)
    ]
    plain, loud = (render(recipe, songs, RATE) for recipe in clips)
    assert np.allclose(loud, 10 * plain, rtol=1e-6)
