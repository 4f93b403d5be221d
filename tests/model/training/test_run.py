import csv
import shutil
from pathlib import Path

import pytest
import torch
from helpers.small_songs import small_settings, tiny_settings

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.settings import Settings
from apollo_model.checkpoint.formats import load_network, read_metadata
from apollo_model.training.run import TrainingReport, train
from apollo_model.training.step import Trainer

QUIET = Console(quiet=True)
WAVEFORM = {"adversarial": 0, "feature_matching": 0, "reconstruction": 0.1, "waveform": 1}


def run(settings: Settings, shards: Path, out: Path, resume: bool = False) -> TrainingReport:
    return train(settings, shards, out, QUIET, resume)


def test_a_run_writes_what_it_says_and_stops_at_the_last_epoch(
    shards: Path, tmp_path: Path
) -> None:
    report = run(tiny_settings(loss=WAVEFORM), shards, tmp_path)
    assert report.epochs == 2
    assert report.reason == "all 2 epochs done"
    with (tmp_path / "history.csv").open() as source:
        rows = list(csv.DictReader(source))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert -float(rows[report.best_epoch - 1]["valid_si_snr_db"]) == report.best_valid_loss
    network = load_network(report.checkpoint)
    assert network.residual
    metadata = read_metadata(report.checkpoint)
    assert metadata["epoch"] == str(report.best_epoch)
    assert list((tmp_path / "tensorboard").iterdir())
    with pytest.raises(DataError, match="holds a run already"):
        run(tiny_settings(loss=WAVEFORM), shards, tmp_path)


def test_a_resumed_run_ends_where_an_unbroken_one_does(shards: Path, tmp_path: Path) -> None:
    one, three = (tiny_settings(max_epochs=n, batches_per_epoch=1) for n in (1, 3))
    whole = run(three, shards, tmp_path / "whole")
    run(one, shards, tmp_path / "parts")
    parts = run(three, shards, tmp_path / "parts", resume=True)
    assert parts.best_valid_loss == whole.best_valid_loss
    states = [
        torch.load(tmp_path / name / "last.pt", weights_only=True)["trainer"]["modules"]
        for name in ("whole", "parts")
    ]
    assert len(states[0]) == 2  # the network and the discriminator
    for first, second in zip(*states, strict=True):
        for name, values in first.items():
            assert torch.equal(values, second[name]), name


def test_live_mixing_trains_and_resumes_without_train_shards(shards: Path, tmp_path: Path) -> None:
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
    parts = run(ahead, work / "work/shards", tmp_path / "parts", resume=True)
    assert parts.best_valid_loss == whole.best_valid_loss
    with pytest.raises(DataError, match=r"tracks\.jsonl: no such manifest"):
        run(one, work / "songs/shards", tmp_path / "out")


def test_resuming_needs_a_run_with_the_same_settings(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to resume"):
        run(tiny_settings(), shards, tmp_path, resume=True)
    run(tiny_settings(max_epochs=1, loss=WAVEFORM), shards, tmp_path)
    with pytest.raises(DataError, match="other network or training settings"):
        run(tiny_settings(batch_size=3, loss=WAVEFORM), shards, tmp_path, resume=True)
    (tmp_path / "last.pt").write_bytes(b"cut off")
    with pytest.raises(DataError, match="is no training state"):
        run(tiny_settings(loss=WAVEFORM), shards, tmp_path, resume=True)


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
    assert report.reason == "no better validation loss for 2 epochs"


def test_learning_rates_fall_as_the_paper_says(shards: Path, tmp_path: Path) -> None:
    run(tiny_settings(max_epochs=5, loss=WAVEFORM, batches_per_epoch=1), shards, tmp_path)
    with (tmp_path / "history.csv").open() as source:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(source)]
    assert rates == pytest.approx([1e-3, 1e-3, 0.98e-3, 0.98e-3, 0.98**2 * 1e-3])


def test_a_step_trains_both_networks_and_reports_every_term(shards: Path) -> None:
    trainer = Trainer(tiny_settings(loss={"waveform": 0.5}))
    before = [values.clone() for values in trainer.network.parameters()]
    assert trainer.discriminator is not None
    critics = [values.clone() for values in trainer.discriminator.parameters()]
    torch.manual_seed(0)
    clean = 0.1 * torch.randn(2, 2, 13230)
    coded = clean + 0.02 * torch.randn_like(clean)
    losses = trainer.step(coded, clean)
    terms = {"adversarial", "feature_matching", "reconstruction", "waveform"}
    assert set(losses) == terms | {"discriminator", "generator"}
    assert losses["generator"] == pytest.approx(sum(losses[name] for name in terms), rel=1e-5)
    for old, module in ((before, trainer.network), (critics, trainer.discriminator)):
        assert any(not torch.equal(a, b) for a, b in zip(old, module.parameters(), strict=True))


def test_the_waveform_loss_learns(shards: Path) -> None:
    trainer = Trainer(tiny_settings(loss=WAVEFORM))
    torch.manual_seed(0)
    clean = 0.1 * torch.randn(2, 2, 13230)
    coded = clean + 0.05 * torch.randn_like(clean)
    losses = [trainer.step(coded, clean)["waveform"] for _ in range(30)]
    assert losses[-1] < losses[0] - 0.3


def test_steps_without_finite_gradients_are_passed_over_but_not_for_ever() -> None:
    trainer = Trainer(tiny_settings(loss=WAVEFORM))
    before = [values.clone() for values in trainer.network.parameters()]
    broken = torch.full((1, 2, 4410), float("nan"))
    trainer.step(broken, broken)
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.network.parameters(), strict=True))
    for _ in range(9):
        trainer.step(broken, broken)
    with pytest.raises(DataError, match="no finite gradient"):
        trainer.step(broken, broken)


def test_what_cannot_be_trained_is_a_clear_error(shards: Path, tmp_path: Path) -> None:
    nothing = {"adversarial": 0, "feature_matching": 0, "reconstruction": 0, "waveform": 0}
    with pytest.raises(DataError, match="every weight is 0"):
        run(tiny_settings(loss=nothing), shards, tmp_path)
    with pytest.raises(DataError, match="holds no shards of split 'train'"):
        run(small_settings(), tmp_path / "none", tmp_path / "out")
