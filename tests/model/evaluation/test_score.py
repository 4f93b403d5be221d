import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_networks import loud_network, save_small
from typer.testing import CliRunner

from apollo_data.console import Console
from apollo_data.errors import DataError, SettingsError
from apollo_data.shards import ShardReader, find_shards
from apollo_model.checkpoint.formats import save_network
from apollo_model.cli import app
from apollo_model.evaluation.metrics.clip import available_metrics
from apollo_model.evaluation.pairs import list_pairs
from apollo_model.evaluation.score_systems import evaluate
from apollo_model.evaluation.tables import all_tables, score_tables
from apollo_model.network.apollo import Apollo

QUIET = Console(quiet=True)
FAST = ("si_snr", "sdr")


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "scores.csv").open(encoding="utf-8") as source:
        return list(csv.DictReader(source))


def summary_of(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


def plain_si_snr(estimate: np.ndarray, target: np.ndarray) -> float:
    values = []
    for guess, truth in zip(estimate.astype(float), target.astype(float), strict=True):
        guess, truth = guess - guess.mean(), truth - truth.mean()
        wanted = truth * (guess @ truth) / (truth @ truth)
        error = guess - wanted
        values.append(10 * np.log10((wanted @ wanted) / (error @ error)))
    return float(np.mean(values))


@pytest.fixture(scope="module")
def scored(second_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All scores of the identity, as a network and as a baseline, and of copy-up."""
    out = tmp_path_factory.mktemp("scores")
    network = out / "checkpoint/mine.safetensors"
    torch.manual_seed(0)
    save_network(Apollo(44100, 20, 16, 1, residual=True), network, {})
    evaluate([str(network), "identity", "copy-up"], second_shards, out / "eval", QUIET, clips=6)
    return out / "eval"


def test_every_pair_is_scored_for_every_system(scored: Path, second_shards: Path) -> None:
    rows = rows_of(scored)
    assert [row["system"] for row in rows] == ["codec", "mine", "identity", "copy-up"] * 8
    with ShardReader(find_shards(second_shards, "test")[0]) as shard:
        for row in (row for row in rows if row["system"] == "codec"):
            pair = int(row["pair"])
            assert row["name"] == f"{pair:05d}_mp3_{shard.requested_kbps[pair]:g}k"
            assert float(row["si_snr"]) == pytest.approx(
                plain_si_snr(*shard.read_pair(pair)), abs=1e-3
            )
            assert float(row["actual_kbps"]) == shard.actual_kbps[pair]


def test_all_metrics_are_there(scored: Path) -> None:
    for row in rows_of(scored):
        for metric in available_metrics():
            assert row[metric] or row["problem"], (metric, row)
        assert 1 <= float(row["visqol"]) < 4.8
        assert float(row["hum_db"]) == -100 or row["system"] == "copy-up"


def test_the_identity_scores_exactly_what_the_codec_scores(scored: Path) -> None:
    systems = summary_of(scored)["systems"]
    for view in ("overall", "by_bitrate", "by_category"):
        own, codec = systems["identity"][view], systems["codec"][view]
        for name in ("n", *available_metrics()):
            if view == "overall":
                assert own[name] == codec[name]
            else:
                assert {c: s[name] for c, s in own.items()} == {
                    c: s[name] for c, s in codec.items()
                }
    difference = systems["identity"]["overall"]["difference"]["visqol"]
    assert difference == {"mean": 0.0, "ci95": difference["ci95"], "n": 8}
    network = systems["mine"]["overall"]
    assert network["si_snr"] == pytest.approx(systems["codec"]["overall"]["si_snr"], abs=0.01)


def test_copying_up_fills_the_spectrum(scored: Path) -> None:
    systems = summary_of(scored)["systems"]
    own, codec = (systems[name]["by_bitrate"]["24"] for name in ("copy-up", "codec"))
    assert codec["edge_khz"] < 8
    assert own["edge_khz"] > codec["edge_khz"] + 4
    assert own["level_error_above_edge"] < codec["level_error_above_edge"]
    assert own["si_snr"] == pytest.approx(codec["si_snr"], abs=1.5)


def test_the_summary_holds_means_intervals_and_counts(scored: Path) -> None:
    summary = summary_of(scored)
    codec = summary["systems"]["codec"]
    assert (summary["pairs"], summary["silent"], summary["targets"]) == (8, 0, 4)
    assert list(codec["by_bitrate"]) == ["24", "64"]
    assert list(codec["by_category"]) == [
        "vocal",
        "single_stem",
        "multi_stems",
        "multi_stems_vocal",
    ]
    own = [float(r["sdr"]) for r in rows_of(scored) if r["system"] == "codec"]
    assert codec["overall"]["sdr"] == pytest.approx(np.mean(own))
    low, high = codec["overall"]["ci95"]["sdr"]
    assert low < codec["overall"]["sdr"] < high
    assert codec["hum_test"] == {"limit_db": -60.0, "n": 8, "failed": 0, "passed": True}


def test_every_table_has_the_codecs_row_and_the_difference(scored: Path) -> None:
    tables = list(score_tables(summary_of(scored)))
    assert [table.title for table in tables] == [
        "SI-SNR (dB) by kbit/s",
        "SDR (dB) by kbit/s",
        "ViSQOL by kbit/s",
        "SI-SNR (dB) by category",
        "SDR (dB) by category",
        "ViSQOL by category",
    ]
    for table in tables:
        names = [row[0] for row in table.rows]
        assert names[:4] == ["pairs", "codec", "mine", "mine - codec"]
        assert "Apollo (published, on other data)" in names
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_table_ii_has_every_row_of_the_paper(scored: Path) -> None:
    table = all_tables(summary_of(scored), {"mine": 12.345})[0]
    assert table.columns == [
        "system",
        "vocal",
        "single stem",
        "multi stems",
        "multi stems vocal",
        "overall",
        "parameters (M)",
        "ms for 1 s",
    ]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["Apollo (published, on other data)"] == [
        "13.99/12.58/3.44",
        "16.56/15.99/4.08",
        "17.52/17.15/4.41",
        "18.51/18.26/4.54",
        "16.64/16.00/4.12",
        "16.54",
        "53.23",
    ]
    assert rows["mine"][-1] == "12.35"
    assert rows["codec"][-2:] == ["-", "-"]
    assert all(cell.count("/") == 2 for cell in rows["codec"][:5])


def test_the_files_are_there_in_every_format(scored: Path) -> None:
    assert (scored / "scores_by_bitrate.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (scored / "scores_by_bitrate.svg").read_text()[:2000]
    assert "| codec |" in (scored / "tables.md").read_text(encoding="utf-8")
    assert "published, on other data" in (scored / "tables.txt").read_text(encoding="utf-8")
    assert len(json.loads((scored / "tables.json").read_text(encoding="utf-8"))) == 9
    with (scored / "tables.csv").open(encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    own = [row for row in rows if row["system"] == "codec" and row["view"] == "overall"]
    assert {row["score"] for row in own} == set(available_metrics())
    assert {row["kind"] for row in rows} == {"codec", "network", "baseline", "published"}


def test_the_page_is_written(scored: Path) -> None:
    page = (scored / "report.html").read_text(encoding="utf-8")
    assert "copy-up" in page
    assert "<html" in page


def test_clips_are_kept_for_listening(scored: Path) -> None:
    import soundfile

    index = json.loads((scored / "listening/clips.json").read_text(encoding="utf-8"))
    assert index["sample_rate"] == 44100
    assert len(index["clips"]) == 6
    assert {clip["bitrate_kbps"] for clip in index["clips"]} == {24.0, 64.0}
    assert len({clip["category"] for clip in index["clips"]}) >= 3
    assert any("worst" in clip["why"] for clip in index["clips"])
    for clip in index["clips"]:
        assert list(clip["files"]) == ["target", "codec", "mine", "identity", "copy-up"]
        sounds = {
            name: soundfile.read(scored / "listening" / file)[0]
            for name, file in clip["files"].items()
        }
        assert {sound.shape for sound in sounds.values()} == {(44100, 2)}
        assert np.array_equal(sounds["codec"], sounds["identity"])
        assert set(clip["scores"]["mine"]) == set(available_metrics())


def test_a_second_call_scores_what_is_new_and_nothing_else(
    second_shards: Path, tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    log.touch()
    program = f"echo={sys.executable} -c \"import shutil, sys; open('{log}', 'a').write('x'); \
shutil.copy(*sys.argv[1:])\" {{in}} {{out}}"
    once = tmp_path / "once"
    evaluate([program], second_shards, once, QUIET, limit=4, metrics=FAST, clips=0)
    assert len(log.read_text()) == 4
    evaluate([program], second_shards, once, QUIET, metrics=FAST, clips=0)
    assert len(log.read_text()) == 8
    first = (once / "scores.csv").read_bytes()
    evaluate([program, "copy-up"], second_shards, once, QUIET, metrics=FAST, clips=0)
    assert len(log.read_text()) == 8
    evaluate([program], second_shards, once, QUIET, metrics=FAST, clips=0)
    assert (once / "scores.csv").read_bytes() == first


@pytest.mark.slow
def test_killed_and_continued_gives_the_same_files(second_shards: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import shutil, sys, time\ntime.sleep(0.3)\nshutil.copy(*sys.argv[1:])\n")
    system = f"slow={sys.executable} {slow} {{in}} {{out}}"
    whole, broken = tmp_path / "whole/eval", tmp_path / "broken/eval"

    def command(out: Path) -> list[str]:
        arguments = ["--shards", second_shards, "--out", out, "--system", system, "-j", "1"]
        program = Path(sys.executable).with_name("apollo-model")
        return [
            str(word)
            for word in (
                program,
                "eval",
                *arguments,
                "--metrics",
                "si_snr,lsd",
                "--clips",
                "2",
                "-q",
            )
        ]

    metrics = ("si_snr", "lsd")
    evaluate([system], second_shards, whole, QUIET, metrics=metrics, clips=2)
    process = subprocess.Popen(command(broken), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and lines_in(broken / "rows") < 6:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = lines_in(broken / "rows")
    assert 6 <= before < 18
    with next((broken / "rows").glob("slow*")).open("a") as file:
        file.write('{"pair": "shard-0')  # a kill can leave half a line
    subprocess.run(command(broken), check=True, capture_output=True, timeout=300)
    assert files_of(broken) == files_of(whole)


def lines_in(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def files_of(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.slow
def test_workers_make_no_difference(second_shards: Path, tmp_path: Path) -> None:
    save_small(tmp_path / "best.safetensors")
    for workers in (1, 2):
        evaluate(
            [str(tmp_path / "best.safetensors")],
            second_shards,
            tmp_path / str(workers),
            QUIET,
            workers=workers,
            metrics=FAST,
            clips=0,
        )
    one, two = (rows_of(tmp_path / workers) for workers in ("1", "2"))
    for rows in (one, two):  # linear algebra on one thread rounds otherwise than on two
        for row in rows:
            row |= {name: f"{float(row[name]):.9f}" for name in ("si_snr", "sdr") if row[name]}
    assert one == two


def test_results_made_before_on_a_device_are_scored_like_those_of_the_workers(
    second_shards: Path, tmp_path: Path
) -> None:
    save_small(tmp_path / "best.safetensors")
    for number, device in enumerate(("cpu", "cpu:0")):  # the second goes the way of a GPU
        evaluate(
            [str(tmp_path / "best.safetensors")],
            second_shards,
            tmp_path / str(number),
            QUIET,
            device,
            metrics=FAST,
            clips=0,
        )
    own, other = rows_of(tmp_path / "0"), rows_of(tmp_path / "1")
    for row, same in zip(own, other, strict=True):
        assert float(row["si_snr"]) == pytest.approx(float(same["si_snr"]), abs=1e-3)


def test_a_network_that_gives_nan_is_a_row_and_the_others_keep_theirs(
    second_shards: Path, tmp_path: Path
) -> None:
    broken = loud_network(residual=True, layers=1)
    with torch.no_grad():
        broken.output[0][1].weight[:] = np.nan
    networks = {"broken": broken, "sound": loud_network(residual=True, layers=1)}
    summary = evaluate(networks, second_shards, tmp_path, QUIET, metrics=FAST, clips=4)
    systems = summary["systems"]
    assert systems["broken"]["overall"]["n"] == 0
    assert systems["broken"]["overall"]["sdr"] is None
    assert systems["broken"]["overall"]["missing"]["sdr"] == {"the output is not finite": 8}
    assert systems["broken"]["note"] == "the output is not finite (8 of 8 pairs)"
    assert systems["sound"]["overall"]["n"] == 8
    rows = [row for row in rows_of(tmp_path) if row["system"] == "broken"]
    assert [(row["sdr"], row["problem"]) for row in rows] == [("", "the output is not finite")] * 8
    assert "NaN" not in (tmp_path / "summary.json").read_text()
    assert "the output is not finite (8 of 8 pairs)" in (tmp_path / "tables.txt").read_text()


def test_clips_too_short_for_a_score_are_counted(shards: Path, tmp_path: Path) -> None:
    summary = evaluate([], shards, tmp_path, QUIET, limit=5, metrics=("sdr", "visqol"), clips=0)
    overall = summary["systems"]["codec"]["overall"]
    assert (overall["n"], overall["visqol"]) == (5, None)
    reason = "the target is too short for ViSQOL: it takes a second"
    assert overall["missing"] == {"visqol": {reason: 5}}


def test_a_taste_is_drawn_evenly(second_shards: Path, shards: Path) -> None:
    four = list_pairs(second_shards, 4).pairs
    assert len({pair.category for pair in four}) == 4
    assert [pair.case for pair in four].count("24") == 2
    six = list_pairs(shards, 6).pairs
    assert len({pair.case for pair in six}) == 6
    twelve = list_pairs(shards, 12).pairs
    assert {pair.case for pair in twelve} == {"24", "32", "48", "64", "96", "128"}
    assert len({pair.target for pair in twelve}) == 4
    assert len(list_pairs(shards, 1000).pairs) == 24


def test_what_cannot_be_scored_is_a_clear_error(second_shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be called 'codec'"):
        evaluate({"codec": Apollo(44100, 20, 16, 1)}, second_shards, tmp_path, QUIET)
    with pytest.raises(DataError, match="holds no shards of split 'test'"):
        evaluate({}, tmp_path, tmp_path, QUIET)
    with pytest.raises(DataError, match="expected some of si_snr, sdr"):
        evaluate({}, second_shards, tmp_path, QUIET, metrics=["pesq"])
    with pytest.raises(SettingsError, match="two systems are called 'a'"):
        evaluate(["a=identity", "a=copy-up"], second_shards, tmp_path, QUIET)


def test_a_network_of_another_sample_rate_is_refused(second_shards: Path, tmp_path: Path) -> None:
    save_network(Apollo(48000, 20, 16, 1, residual=True), tmp_path / "hd.safetensors", {})
    arguments = ["eval", "--shards", str(second_shards), "--out", str(tmp_path / "out"), "-q"]
    shown = CliRunner().invoke(app, [*arguments, "--system", str(tmp_path / "hd.safetensors")])
    assert shown.exit_code == 1
    assert isinstance(shown.exception, DataError)
    assert "is a network for 48000 Hz, the test clips have 44100 Hz" in str(shown.exception)
    assert not (tmp_path / "out").exists()


def test_the_command_prints_the_tables_and_names_two_networks_of_one_name(
    second_shards: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        save_small(tmp_path / folder / "best.safetensors")
    arguments = ["eval", "--shards", str(second_shards), "--out", str(tmp_path / "out"), "-q"]
    for folder in ("a", "b"):
        arguments += ["--checkpoint", str(tmp_path / folder / "best.safetensors")]
    arguments += ["--metrics", "sdr", "--clips", "0", "--workers", "1", "--device", "cpu"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "a/best - codec" in shown.output
    assert "b/best - codec" in shown.output
    assert list(summary_of(tmp_path / "out")["systems"]) == ["codec", "a/best", "b/best"]


def test_a_program_that_always_fails_is_a_row_and_exit_status_1(
    second_shards: Path, tmp_path: Path
) -> None:
    arguments = ["eval", "--shards", str(second_shards), "--out", str(tmp_path / "out"), "-q"]
    arguments += ["--system", "gone=no-such-program {in} {out}", "--system", "identity"]
    shown = CliRunner().invoke(app, [*arguments, "--metrics", "sdr", "--clips", "0", "-j", "1"])
    assert shown.exit_code == 1
    assert "gone: no-such-program: cannot be run" in str(shown.exception)
    systems = summary_of(tmp_path / "out")["systems"]
    assert systems["gone"]["overall"]["n"] == 0
    assert systems["identity"]["overall"]["n"] == 8
