import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from helpers.small_songs import RATE, small_settings
from matplotlib.image import imread
from typer.testing import CliRunner

from apollo_data.cli import app
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.mixing import MixPool
from apollo_data.pipeline import prepare
from apollo_data.records import SPLITS, STEM_CLASSES, MixRecipe
from apollo_data.shards import ShardReader, find_shards
from apollo_data.stats.codings import asked_for, coded_of, coding_groups
from apollo_data.stats.gather import choose_pairs, gather, of_recipes
from apollo_data.stats.sound import loudness_lufs, mean_spectrum, peak_dbfs, spectral_edge_hz
from apollo_data.stats.tables import as_json, tables
from apollo_data.workspace.folder import WorkFolder

QUIET = Console(quiet=True)
LOW_PASS_HZ = {24: 3900, 32: 5500, 48: 7600, 64: 11100, 96: 15200, 128: 16800}
"""LAME's low-pass; 24 kbit/s is MPEG-2 at 22.05 kHz here, with one of its own."""


@pytest.fixture(scope="module")
def drawn(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> list[MixRecipe]:
    """Two thousand recipes of 1-8 stems at -10..+10 dB."""
    mixing = {"clip_seconds": 1.0, "distinct_songs": False, "whole_mixture_share": 0.0}
    settings = small_settings(mixing=mixing)
    work = WorkFolder.at(tmp_path_factory.mktemp("drawn"))
    found = prepare(songs, work, settings, 1, QUIET)
    tracks, activities = found.tracks, found.activities
    pool = MixPool(tracks.rows, activities.rows, "train", settings.for_plan())
    return [pool.draw(index) for index in range(2000)]


def test_drawn_gains_are_flat_and_stem_counts_uniform(drawn: list[MixRecipe]) -> None:
    found = of_recipes(drawn)
    assert list(found) == ["train"]
    own = found["train"].recipes
    gains = own.gains_db.values
    assert len(gains) == sum(len(recipe.stems) for recipe in drawn)
    assert scipy.stats.kstest(gains, scipy.stats.uniform(-10, 20).cdf).pvalue > 0.01
    assert sorted(own.stems_per_mix) == list(range(1, 9))
    assert scipy.stats.chisquare(list(own.stems_per_mix.values())).pvalue > 0.01
    assert own.targets == own.pairs == 2000
    assert own.target_seconds == 2000.0
    assert own.stems_per_mix.total() == 2000
    assert set(own.stem_classes) == set(STEM_CLASSES)
    assert own.categories.total() == 2000
    pairs = [coded.pairs for coded in found["train"].codings.values()]
    assert len(pairs) == 6
    assert scipy.stats.chisquare(pairs).pvalue > 0.01


def test_statistics_of_shards_are_those_of_their_pairs(built: Path) -> None:
    statistics = gather(built, 500, QUIET)
    assert statistics.has_shards
    assert list(statistics.splits) == list(SPLITS)
    for name, split in statistics.splits.items():
        readers = [ShardReader(path) for path in find_shards(built / "shards", name)]
        pairs = sum(shard.pairs for shard in readers)
        assert split.recipes.targets == sum(shard.targets for shard in readers)
        assert split.recipes.pairs == split.measured == pairs
        assert split.recipes.pair_seconds == pytest.approx(pairs * 1.0)
        whole = sum(recipe.mixture is not None for shard in readers for recipe in shard.recipes())
        assert split.recipes.whole_mixtures == whole
        assert (whole > 0) == (name == "train")
        scales = np.concatenate([shard.scale for shard in readers])
        assert split.scale.values == pytest.approx(scales)
        songs = Counter(
            song for shard in readers for recipe in shard.recipes() for song in recipe.songs
        )
        assert split.recipes.songs == songs
        asked = Counter(float(kbps) for shard in readers for kbps in shard.requested_kbps)
        assert {own.requested_kbps: own.pairs for own in split.codings.values()} == asked
        for own in split.codings.values():
            assert own.actual_kbps.values == pytest.approx(own.requested_kbps, rel=0.02)
        louder = np.maximum(
            split.sound["clean_peak_dbfs"].values, split.sound["coded_peak_dbfs"].values
        )
        assert louder.max() == pytest.approx(0.0, abs=1e-6)
        assert len(split.sound["clean_lufs"].values) == pairs


def test_spectral_edges_are_where_the_encoder_cuts(built: Path) -> None:
    test = gather(built / "shards", 500, QUIET).splits["test"]
    edges = {own.requested_kbps: own.edge_hz.summary() for own in test.codings.values()}
    assert sorted(edges) == sorted(LOW_PASS_HZ)
    for kbps, edge in edges.items():
        assert edge.median == pytest.approx(LOW_PASS_HZ[kbps], rel=0.08)


def test_the_edge_follows_its_definition() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (2, RATE)).astype(np.float32)
    low_pass = scipy.signal.firwin(2001, 8000, fs=RATE)
    cut = scipy.signal.fftconvolve(noise, low_pass[None], mode="same", axes=1).astype(np.float32)

    def edge(coded: np.ndarray, clean: np.ndarray) -> float:
        frequencies, clean_power = mean_spectrum(clean, RATE)
        return spectral_edge_hz(frequencies, mean_spectrum(coded, RATE)[1], clean_power)

    assert edge(noise, noise) == RATE / 2
    assert edge(cut, noise) == pytest.approx(8000, abs=60)
    assert edge(noise * 0.11, noise) == RATE / 2
    assert np.isnan(edge(noise * 0.09, noise))
    # Where the target has nothing but its 16-bit rounding, nothing can be missing.
    rounded = (np.rint(cut * 32767) / 32767).astype(np.float32)
    assert edge(rounded, rounded) == pytest.approx(8000, abs=200)


def test_loudness_and_peak_are_those_of_the_standard() -> None:
    time = np.arange(3 * RATE) / RATE
    sine = np.tile(0.1 * np.sin(2 * np.pi * 997 * time), (2, 1)).astype(np.float32)
    # BS.1770: a full-scale sine of 997 Hz in both channels is 0 LUFS.
    assert loudness_lufs(sine, RATE) == pytest.approx(-20.0, abs=0.05)
    assert peak_dbfs(sine) == pytest.approx(-20.0, abs=0.01)
    assert np.isnan(loudness_lufs(sine[:, : int(0.39 * RATE)], RATE))
    assert np.isnan(loudness_lufs(sine * 0, RATE))
    assert np.isnan(peak_dbfs(sine * 0))


def test_a_sample_of_pairs_gives_every_bitrate_its_share() -> None:
    labels = [(Path(str(shard)), [f"mp3 {rate}" for rate in range(6)] * 50) for shard in range(4)]
    chosen = list(choose_pairs(labels, 60))
    assert [path for path, _ in chosen] == [path for path, _ in labels]
    counts = Counter(labels[0][1][pair] for _, pairs in chosen for pair in pairs)
    assert set(counts.values()) == {10}
    assert all(5 <= len(pairs) <= 25 for _, pairs in chosen)
    everything = [pairs.tolist() for _, pairs in choose_pairs(labels, 5000)]
    assert everything == [list(range(300))] * 4


def test_codings_without_a_bitrate_and_with_thousands_are_grouped() -> None:
    codings = {}
    rng = np.random.default_rng(2)
    for kbps in [float("nan")] * 5 + [24.0] * 3 + [128.0] * 2:
        coded_of(codings, "mp3", kbps).pairs += 1
    for kbps in rng.uniform(24, 320, 400).round(1):
        coded_of(codings, "opus", kbps).pairs += 1
    groups = coding_groups({"train": codings, "test": {}})
    mp3 = [(group.asked, group.pairs) for group in groups if group.codec == "mp3"]
    assert mp3 == [
        ("-", {"train": 5, "test": 0}),
        ("24", {"train": 3, "test": 0}),
        ("128", {"train": 2, "test": 0}),
    ]
    opus = [group for group in groups if group.codec == "opus"]
    assert len(opus) == 6
    assert sum(group.pairs["train"] for group in opus) == 400
    ends = [float(end) for group in opus for end in group.asked.split("..")]
    assert ends == sorted(ends)


def test_recipes_alone_are_enough(built: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan" / "mixes.jsonl"
    plan.parent.mkdir()
    plan.write_bytes((built / "mixes.jsonl").read_bytes())
    of_plan, of_shards = gather(plan.parent, 500, QUIET), gather(built, 1, QUIET)
    assert not of_plan.has_shards
    for name, split in of_plan.splits.items():
        assert split.recipes.categories == of_shards.splits[name].recipes.categories
        assert split.recipes.songs == of_shards.splits[name].recipes.songs
        codings = {label: own.pairs for label, own in split.codings.items()}
        other = of_shards.splits[name].codings
        assert codings == {label: own.pairs for label, own in other.items()}
        assert of_shards.splits[name].measured == 1
    assert as_json(of_plan)["splits"]["test"]["levels"]["clean_lufs"] is None
    assert as_json(gather(plan, 1, QUIET))["splits"] == as_json(of_plan)["splits"]
    recipe = next(iter(ShardReader(find_shards(built / "shards")[0]).recipes()))
    assert asked_for(recipe.codings[0]) == ("mp3", recipe.codings[0].requested_kbps)
    for table in tables(of_plan):
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_command_prints_tables_and_json_and_draws_a_sheet(built: Path, tmp_path: Path) -> None:
    sheet_file = tmp_path / "sheet.png"
    run = CliRunner().invoke
    shown = run(app, ["stats", str(built), "--pairs", "6", "--plot", str(sheet_file)])
    assert shown.exit_code == 0
    assert "measured on 6 of 10 train, 3 of 3 valid, 6 of 24 test pairs" in shown.stdout
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["train", "10", "0.003", "10", "0.003"] in [row[:5] for row in rows]
    sheet = imread(sheet_file)
    assert sheet.shape[0] > 900
    assert sheet.shape[1] > 1600
    assert len(np.unique(sheet[::4, ::4, :3].reshape(-1, 3), axis=0)) > 50
    found = run(app, ["stats", str(built), "--pairs", "6", "--json", "--quiet"])
    values = json.loads(found.stdout, parse_constant=lambda name: pytest.fail(name))
    assert values["splits"]["test"]["measured_pairs"] == 6
    assert values["splits"]["train"]["levels"]["gain_db"]["n"] > 0


def test_a_folder_without_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds neither shards nor mixes\.jsonl"):
        gather(tmp_path, 1, QUIET)
    with pytest.raises(DataError, match="no such file or folder"):
        gather(tmp_path / "nowhere", 1, QUIET)
