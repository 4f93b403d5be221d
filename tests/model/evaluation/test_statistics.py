import numpy as np
import pytest

from apollo_model.evaluation.statistics import SongBootstrap


def scores_of(songs: int, per_song: int, song_spread: float, seed: int) -> tuple[list, list, list]:
    rng = np.random.default_rng(seed)
    targets, names, values = [], [], []
    for song in range(songs):
        level = rng.normal(0, song_spread)
        for clip in range(per_song):
            targets.append((song, clip))
            names.append((f"song {song}",))
            values.append(10 + level + rng.normal(0, 0.1))
    return targets, names, values


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    covered = widths = 0.0
    for seed in range(100):
        targets, names, values = scores_of(30, 5, 1.0, seed)
        bootstrap = SongBootstrap(targets, names, draws=300)
        _, _, limits = bootstrap.intervals(np.array(values)[:, None])
        covered += limits[0, 0] <= 10 <= limits[0, 1]
        widths += float(limits[0, 1] - limits[0, 0]) / 100
    assert 85 <= covered <= 99
    assert widths == pytest.approx(2 * 1.96 / np.sqrt(30), rel=0.15)


def test_more_bitrates_of_the_same_targets_make_no_narrower_interval() -> None:
    targets, names, values = scores_of(20, 2, 1.0, 0)
    (_, _, once) = SongBootstrap(targets, names).intervals(np.array(values)[:, None])
    (_, counts, six) = SongBootstrap(6 * targets, 6 * names).intervals(
        np.array(6 * values)[:, None]
    )
    assert counts.tolist() == [240]
    assert np.diff(six) == pytest.approx(np.diff(once), rel=1e-9)


def test_mixes_of_many_songs_keep_their_own_errors() -> None:
    rng = np.random.default_rng(0)
    songs = [tuple(f"song {n}" for n in rng.choice(200, 4, replace=False)) for _ in range(100)]
    values = rng.normal(0, 1, 100)
    _, _, limits = SongBootstrap(list(range(100)), songs).intervals(values[:, None])
    assert float(np.diff(limits)[0, 0]) == pytest.approx(2 * 1.96 / np.sqrt(100), rel=0.25)


def test_missing_scores_are_left_out_and_few_songs_have_no_interval() -> None:
    columns = np.array([[1.0, np.nan, 5.0], [2.0, np.nan, np.nan], [3.0, np.nan, np.nan]])
    bootstrap = SongBootstrap([0, 1, 2], [("a",), ("b",), ("c",)])
    means, counts, limits = bootstrap.intervals(columns)
    assert means[0] == 2.0
    assert np.isnan(means[1])
    assert means[2] == 5.0
    assert counts.tolist() == [3, 0, 1]
    assert np.isfinite(limits[0]).all()
    assert np.isnan(limits[1:]).all()


def test_the_same_scores_have_the_same_intervals() -> None:
    targets, names, values = scores_of(10, 3, 1.0, 1)
    found = [SongBootstrap(targets, names).intervals(np.array(values)[:, None]) for _ in range(2)]
    assert np.array_equal(found[0][2], found[1][2])
