import csv
import math
import shutil
from pathlib import Path

import pytest
import torch
from helpers.small_networks import loud_network
from helpers.small_songs import small_settings, tiny_settings
from helpers.training_runs import (
    WAVEFORM,
    Heard,
    Notes,
    assert_same_weights,
    networks,
    run,
)

from apollo_data.errors import DataError
from apollo_data.shards import find_shards
from apollo_model import evaluation
from apollo_model.checkpoint.formats import load_network, read_metadata, save_network
from apollo_model.dataset import ShardDataset
from apollo_model.evaluation.metrics import si_snr
from apollo_model.training.distributed import World
from apollo_model.training.overfit import overfit_one_batch
from apollo_model.training.validation import Validation, is_better


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "history.csv").open() as source:
        return list(csv.DictReader(source))


def test_a_run_writes_what_it_says_and_tells_its_observers(shards: Path, tmp_path: Path) -> None:
    notes = Notes()
    report = run(tiny_settings(loss=WAVEFORM), shards, tmp_path, observers=[notes])
    assert (report.epochs, report.steps) == (2, 6)
    assert report.reason == "all 2 epochs done"
    rows = rows_of(tmp_path)
    assert [(row["epoch"], row["step"]) for row in rows] == [("0", "0"), ("1", "3"), ("2", "6")]
    best = {
        name[6:]: float(value)
        for name, value in rows[report.best_epoch].items()
        if name.startswith("valid_")
    }
    assert best == report.best_scores
    network = load_network(report.checkpoint)
    assert network.residual
    metadata = read_metadata(report.checkpoint)
    assert metadata["epoch"] == str(report.best_epoch)
    assert float(metadata["valid_si_snr"]) == pytest.approx(best["si_snr"], abs=1e-4)
    assert [record.step for record in notes.steps] == [1, 2, 3, 4, 5, 6]
    assert set(notes.steps[0].losses) == {"reconstruction", "waveform", "generator"}
    assert notes.steps[0].gradient_norms["generator"] > 0
    assert [record.epoch for record in notes.validations] == [0, 1, 2]
    assert notes.validations[0].scores["si_snr"] == pytest.approx(
        report.codec_scores["si_snr"], abs=1e-3
    )  # a residual network changes nothing at first
    assert notes.ends == [report.reason]
    epoch = [record.losses["waveform"] for record in notes.steps[3:]]
    assert float(rows[2]["waveform"]) == pytest.approx(sum(epoch) / 3)


def test_the_best_score_is_that_of_the_file(shards: Path, tmp_path: Path) -> None:
    report = run(tiny_settings(loss=WAVEFORM, ema_decay=0.5), shards, tmp_path)
    network, valid = load_network(report.checkpoint), ShardDataset(find_shards(shards, "valid"))
    with torch.inference_mode():
        scores = [float(si_snr(network(coded[None])[0], clean)) for coded, clean in valid]
    assert sum(scores) / len(scores) == pytest.approx(report.best_scores["si_snr"], abs=1e-6)


def test_the_average_of_the_weights_is_what_is_kept(shards: Path, tmp_path: Path) -> None:
    run(tiny_settings(loss=WAVEFORM, max_epochs=1, ema_decay=0.9), shards, tmp_path)
    weights = networks(tmp_path)
    kept = load_network(tmp_path / "best.safetensors").state_dict()
    assert all(torch.equal(kept[name], weights[f"average.{name}"]) for name in kept)
    name = "BN.0.1.weight"
    assert not torch.equal(kept[name], weights[f"generator.{name}"])


def test_live_mixing_trains_and_goes_on_without_train_shards(shards: Path, tmp_path: Path) -> None:
    one, two = (
        tiny_settings(live=True, max_epochs=n, batches_per_epoch=2, loss=WAVEFORM) for n in (1, 2)
    )
    work = tmp_path / "small"
    shutil.copytree(shards.parent.parent, work, ignore=shutil.ignore_patterns("train", "test"))
    shutil.copytree(shards.parent.parent / "songs/mus/train", work / "songs/mus/train")
    whole = run(two, work / "work/shards", tmp_path / "whole")
    run(one, work / "work/shards", tmp_path / "parts")
    ahead = tiny_settings(
        live=True, max_epochs=2, batches_per_epoch=2, loss=WAVEFORM, loader_workers=2
    )
    parts = run(ahead, work / "work/shards", tmp_path / "parts")
    assert parts.best_scores == whole.best_scores
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    with pytest.raises(DataError, match=r"tracks\.jsonl: no such manifest"):
        run(one, work / "songs/shards", tmp_path / "out")


def test_training_stops_early_without_progress(shards: Path, tmp_path: Path) -> None:
    # So small a learning rate changes nothing in float32: no epoch is better than the first.
    stuck = tiny_settings(
        generator_learning_rate=1e-30,
        weight_decay=0.0,
        patience_epochs=2,
        max_epochs=9,
        loss=WAVEFORM,
    )
    report = run(stuck, shards, tmp_path)
    assert (report.epochs, report.best_epoch) == (3, 1)
    assert report.reason == "no better validation for 2 epochs"


def test_time_ends_a_run_with_a_last_validation(shards: Path, tmp_path: Path) -> None:
    settings = tiny_settings(max_minutes=1e-6, max_epochs=9, loss=WAVEFORM)
    report = run(settings, shards, tmp_path)
    assert (report.epochs, report.steps) == (1, 1)
    assert report.reason == "1e-06 minutes are over"
    assert [row["step"] for row in rows_of(tmp_path)] == ["0", "1"]


def test_learning_rates_fall_as_the_paper_says(shards: Path, tmp_path: Path) -> None:
    run(tiny_settings(max_epochs=5, loss=WAVEFORM, batches_per_epoch=1), shards, tmp_path)
    rates = [float(row["learning_rate"]) for row in rows_of(tmp_path)[1:]]
    assert rates == pytest.approx([1e-3, 1e-3, 0.98e-3, 0.98e-3, 0.98**2 * 1e-3])


def test_the_best_few_are_kept_by_the_metric_of_choice(shards: Path, tmp_path: Path) -> None:
    settings = tiny_settings(max_epochs=4, keep_best=2, choose_by="spectral", loss=WAVEFORM)
    report = run(settings, shards, tmp_path)
    scores = [float(row["valid_spectral"]) for row in rows_of(tmp_path)][1:]
    order = sorted(range(4), key=lambda n: scores[n])
    kept = sorted(path.name for path in (tmp_path / "best").iterdir())
    assert kept == sorted(f"epoch-{n + 1:04}.safetensors" for n in order[:2])
    assert report.best_epoch == order[0] + 1
    assert read_metadata(tmp_path / "best.safetensors")["epoch"] == str(report.best_epoch)
    assert is_better("spectral", 1.0, 2.0)
    assert is_better("si_snr", 2.0, 1.0)
    assert is_better("si_snr", 2.0, math.nan)
    assert not is_better("si_snr", math.nan, -100.0)


def test_every_metric_can_choose(shards: Path) -> None:
    world = World(torch.device("cpu"))
    valid = ShardDataset(find_shards(shards, "valid"))
    names = ("si_snr", "sdr", "spectral", "lsd")
    codec = Validation(valid, names, 44100, world).score(None, lambda: False)
    assert tuple(codec) == names
    expected = [evaluation.multi_resolution_distance(*pair) for pair in valid]
    assert codec["spectral"] == pytest.approx(sum(expected) / len(expected))
    expected = [10 * evaluation.log_spectral_distance(*pair) for pair in valid]
    assert codec["lsd"] == pytest.approx(sum(expected) / len(expected))


def test_visqol_needs_clips_of_a_second(shards: Path, tmp_path: Path) -> None:
    settings = tiny_settings(max_epochs=1, choose_by="visqol", loss=WAVEFORM)
    with pytest.raises(DataError, match=r"visqol needs clips of 1 s .* 0\.5 s"):
        run(settings, shards, tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A network of another size than the settings have, with an output of its own."""
    path = tmp_path / "source.safetensors"
    save_network(loud_network(residual=True, causal=True, layers=2), path, {})
    return path


def test_fine_tuning_begins_where_the_source_is(shards: Path, tmp_path: Path, source: Path) -> None:
    settings = tiny_settings(max_epochs=1, generator_learning_rate=1e-2, loss=WAVEFORM)
    notes = Notes()
    out = tmp_path / "out"
    report = run(settings, shards, out, init=str(source), observers=[notes])
    network, valid = load_network(source), ShardDataset(find_shards(shards, "valid"))
    with torch.inference_mode():
        scores = [float(si_snr(network(coded[None])[0], clean)) for coded, clean in valid]
    start = notes.validations[0].scores["si_snr"]
    assert start == pytest.approx(sum(scores) / len(scores), abs=1e-6)
    assert report.untrained_scores["si_snr"] == start
    assert load_network(out / "best.safetensors").settings == network.settings
    # The same command goes on; so does one without --init; another source is refused.
    longer = tiny_settings(max_epochs=2, generator_learning_rate=1e-2, loss=WAVEFORM)
    source.unlink()
    assert run(longer, shards, out, init=str(source)).epochs == 2
    assert run(longer, shards, out).epochs == 2
    with pytest.raises(DataError, match=r"--init was .*source\.safetensors, is other"):
        run(longer, shards, out, init="other.safetensors")


def test_the_discriminator_warms_up_alone(shards: Path, tmp_path: Path, source: Path) -> None:
    settings = tiny_settings(max_epochs=1, batch_size=2, discriminator_warmup_steps=2, loss={})
    notes = Notes()
    states = []
    notes._after_step = lambda step: states.append(step)
    run(settings, shards, tmp_path / "out", init=str(source), observers=[notes])
    assert [set(record.losses) for record in notes.steps[:2]] == [{"discriminator"}] * 2
    assert set(notes.steps[0].gradient_norms) == {"discriminator"}
    assert "generator" in notes.steps[2].losses


def test_one_batch_is_learnt(shards: Path) -> None:
    console = Heard()
    settings = tiny_settings(generator_learning_rate=3e-3, batch_size=1, loss=WAVEFORM)
    gain = overfit_one_batch(settings, shards, console, device="cpu", steps=50)
    assert gain > 1
    assert console.notes[0].startswith("step 25: +")


def test_what_cannot_be_trained_is_a_clear_error(shards: Path, tmp_path: Path) -> None:
    nothing = {"adversarial": 0, "feature_matching": 0, "reconstruction": 0, "waveform": 0}
    with pytest.raises(DataError, match="every weight is 0"):
        run(tiny_settings(loss=nothing), shards, tmp_path)
    with pytest.raises(DataError, match="holds no shards of split 'train'"):
        run(small_settings(), tmp_path / "none", tmp_path / "out")
