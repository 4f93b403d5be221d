import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.shards import ShardReader, find_shards
from apollo_model.evaluation.score import evaluate
from apollo_model.evaluation.tables import score_tables
from apollo_model.network.apollo import Apollo

QUIET = Console(quiet=True)


def plain_si_snr(estimate: np.ndarray, target: np.ndarray) -> float:
    values = []
    for guess, truth in zip(estimate.astype(float), target.astype(float), strict=True):
        guess, truth = guess - guess.mean(), truth - truth.mean()
        wanted = truth * (guess @ truth) / (truth @ truth)
        error = guess - wanted
        values.append(10 * np.log10((wanted @ wanted) / (error @ error)))
    return float(np.mean(values))


@pytest.fixture(scope="module")
def scored(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scores of an untrained residual network, which is the identity."""
    out = tmp_path_factory.mktemp("scores")
    torch.manual_seed(0)
    evaluate({"mine": Apollo(44100, 20, 16, 1, residual=True)}, shards, out, QUIET)
    return out


def test_every_pair_is_scored_for_every_system(scored: Path, shards: Path) -> None:
    with (scored / "scores.csv").open() as source:
        rows = list(csv.DictReader(source))
    assert [row["system"] for row in rows] == ["codec", "mine"] * 24
    with ShardReader(find_shards(shards, "test")[0]) as shard:
        for row in (row for row in rows if row["system"] == "codec"):
            pair = int(row["pair"])
            assert float(row["si_snr"]) == pytest.approx(
                plain_si_snr(*shard.read_pair(pair)), abs=1e-3
            )
            assert float(row["actual_kbps"]) == shard.actual_kbps[pair]


def test_the_summary_holds_the_means_and_an_identity_gains_nothing(scored: Path) -> None:
    systems = json.loads((scored / "summary.json").read_text())["systems"]
    assert list(systems) == ["codec", "mine"]
    with (scored / "scores.csv").open() as source:
        rows = [row for row in csv.DictReader(source) if row["system"] == "codec"]
    for kbps in ("24", "32", "48", "64", "96", "128"):
        own = [float(row["sdr"]) for row in rows if float(row["requested_kbps"]) == float(kbps)]
        scores = systems["codec"]["by_bitrate"][kbps]
        assert scores["n"] == len(own) == 4
        assert scores["sdr"] == pytest.approx(np.mean(own))
        mine = systems["mine"]["by_bitrate"][kbps]
        assert mine["si_snr"] == pytest.approx(scores["si_snr"], abs=0.01)
    assert list(systems["codec"]["by_category"]) == [
        "vocal",
        "single_stem",
        "multi_stems",
        "multi_stems_vocal",
    ]
    assert systems["codec"]["overall"]["n"] == 24


def test_every_table_has_the_codecs_row_and_the_difference(scored: Path) -> None:
    tables = list(score_tables(json.loads((scored / "summary.json").read_text())))
    assert [table.title for table in tables] == [
        "SI-SNR (dB) by kbit/s",
        "SDR (dB) by kbit/s",
        "SI-SNR (dB) by category",
        "SDR (dB) by category",
    ]
    for table in tables:
        assert [row[0] for row in table.rows] == ["pairs", "codec", "mine", "mine - codec"]
        assert all(len(row) == len(table.columns) for row in table.rows)
        for codec, mine, difference in list(zip(*table.rows[1:], strict=True))[1:]:
            assert float(difference) == pytest.approx(float(mine) - float(codec), abs=2e-3)


def test_what_cannot_be_scored_is_a_clear_error(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be called 'codec'"):
        evaluate({"codec": Apollo(44100, 20, 16, 1)}, shards, tmp_path, QUIET)
    with pytest.raises(DataError, match="holds no shards of split 'test'"):
        evaluate({}, tmp_path, tmp_path, QUIET)
