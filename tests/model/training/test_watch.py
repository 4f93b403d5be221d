"""What a run writes for those who watch it, also when it is killed and goes on."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import soundfile
import torch
from helpers.small_songs import tiny_settings
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from apollo_data.console import Console
from apollo_data.settings import load_settings, settings_toml
from apollo_model.checkpoint.formats import load_network, read_metadata
from apollo_model.checkpoint.network_identity import network_key
from apollo_model.training.observers import StepRecord
from apollo_model.training.run import train
from apollo_model.training.watch.curves import MeanCurve
from apollo_model.training.watch.may_fail import without_ending_the_run
from apollo_model.training.watch.metrics_csv import MetricsLog, read_metrics
from apollo_model.training.watch.progress_bar import ProgressDetail
from apollo_model.training.watch.tensorboard_log import Board
from apollo_model.training.watch.watchers import watchers

QUIET = Console(quiet=True)
PNG = b"\x89PNG\r\n\x1a\n"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as source:
        return list(csv.DictReader(source))


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs with all losses and an average; read only."""
    folder = tmp_path_factory.mktemp("run")
    settings = tiny_settings(log_steps=2, ema_decay=0.9)
    train(settings, shards, folder, QUIET, device="cpu", observers=watchers(QUIET))
    return folder


def test_metrics_has_every_step_with_every_loss(run: Path) -> None:
    rows = rows_of(run / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 6
    losses = ("generator", "discriminator", "adversarial", "feature_matching", "reconstruction")
    names = [
        *(f"loss_{name}" for name in losses),
        *(f"{group}_{name}" for group in ("gradient_norm", "learning_rate", "skipped")
          for name in ("generator", "discriminator")),
    ]  # fmt: skip
    assert set(names) <= set(rows[0])
    for row in rows:
        assert all(math.isfinite(float(row[name])) for name in names)
        parts = sum(float(row[f"loss_{name}"]) for name in losses[2:])
        assert parts == pytest.approx(float(row["loss_generator"]), rel=1e-4)
    assert {row["epoch"] for row in rows} == {"1", "2"}


def test_tensorboard_has_steps_and_validations(run: Path) -> None:
    board = EventAccumulator(str(run / "tensorboard"))
    board.Reload()
    tags = board.Tags()["scalars"]
    assert {"loss/generator", "gradient_norm/discriminator", "learning_rate/generator"} <= set(tags)
    steps = [event.step for event in board.Scalars("loss/generator")]
    assert steps == list(range(2, len(rows_of(run / "metrics.csv")) + 1, 2))
    history = rows_of(run / "history.csv")
    for name in ("si_snr", "sdr", "lsd"):
        found = [event.value for event in board.Scalars(f"valid_{name}/network")]
        assert found == pytest.approx([float(row[f"valid_{name}"]) for row in history], rel=1e-5)
        assert len({event.value for event in board.Scalars(f"valid_{name}/codec")}) == 1


def test_examples_can_be_seen_and_heard(run: Path, shards: Path) -> None:
    clips = sorted((run / "examples").iterdir())
    assert clips
    for clip in clips:
        names = {path.name for path in clip.iterdir()}
        stages = {f"restored-000{epoch}{end}" for epoch in range(3) for end in (".flac", ".png")}
        assert names == {"coded.flac", "clean.flac", *stages}
        sounds = {path.stem: soundfile.read(path, always_2d=True) for path in clip.glob("*.flac")}
        assert {(len(sound), rate) for sound, rate in sounds.values()} == {(22050, 44100)}
        # Before training a residual network gives back what it gets.
        assert abs(sounds["restored-0000"][0] - sounds["coded"][0]).max() < 1e-3
        assert abs(sounds["clean"][0] - sounds["coded"][0]).max() > 1e-3
        assert abs(sounds["restored-0002"][0] - sounds["restored-0000"][0]).max() > 0
        for picture in clip.glob("*.png"):
            assert picture.read_bytes().startswith(PNG)
            assert picture.stat().st_size > 10_000


def test_the_record_tells_what_the_run_was_made_with(run: Path, shards: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (session,) = record["sessions"]
    assert session["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert session["device"] == "cpu"
    assert session["reason"] == "all 2 epochs done"
    assert session["started"] <= session["ended"]
    paths = sorted((shards / "train").glob("*.h5"))
    rows = record["shards"]["train"]["rows"]
    assert [row[0] for row in rows] == [path.name for path in paths]
    assert all(len(str(row[2])) >= 32 for row in rows)
    assert set(record["codec_scores"]) == {"si_snr", "sdr", "lsd"}
    assert load_settings(run / "settings.toml") == tiny_settings(log_steps=2, ema_decay=0.9)
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    if revision.returncode == 0:
        assert session["git"].startswith(revision.stdout.strip())


def test_curves_are_drawn(run: Path) -> None:
    picture = (run / "curves.png").read_bytes()
    assert picture.startswith(PNG)
    assert len(picture) > 20_000


def test_the_state_is_a_checkpoint_with_raw_and_averaged_weights(run: Path) -> None:
    raw, average = (load_network(run / "last.pt", weights=name) for name in ("raw", "ema"))
    assert raw.settings == average.settings == load_network(run / "best.safetensors").settings
    assert raw.residual
    state = torch.load(run / "last.pt", weights_only=True)["trainer"]
    for network, weights in (
        (raw, state["networks"]["generator"]),
        (average, state["average"]["weights"]),
    ):
        assert all(torch.equal(weights[k], v) for k, v in network.state_dict().items())
    assert network_key(load_network(run / "last.pt")) == network_key(average) != network_key(raw)
    metadata = read_metadata(run / "last.pt")
    assert int(metadata["step"]) == len(rows_of(run / "metrics.csv"))
    assert (metadata["pipeline"], metadata["epoch"]) == ("small", "2")
    assert 'name = "small"' in metadata["settings"]
    assert math.isfinite(float(metadata["last_valid_si_snr"]))


TRAIN = """
import sys
from pathlib import Path
from apollo_data.console import Console
from apollo_data.settings import load_settings
from apollo_model.training.run import train
from apollo_model.training.watch.watchers import watchers
config, shards, out = map(Path, sys.argv[1:])
console = Console(quiet=True)
train(load_settings(config), shards, out, console, device="cpu", observers=watchers(console))
"""


@pytest.mark.slow
def test_a_killed_run_has_neither_gaps_nor_duplicates(shards: Path, tmp_path: Path) -> None:
    loss = {"adversarial": 0, "feature_matching": 0, "reconstruction": 0.1, "waveform": 1}
    settings = tiny_settings(loss=loss, max_epochs=4, checkpoint_steps=4, log_steps=1)
    config, out, whole = tmp_path / "config.toml", tmp_path / "run", tmp_path / "whole"
    config.write_text(settings_toml(settings))
    command = [sys.executable, "-c", TRAIN, str(config), str(shards), str(out)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wait_for_step(out / "metrics.csv", 5, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    train(settings, shards, out, QUIET, device="cpu", observers=watchers(QUIET))
    train(settings, shards, whole, QUIET, device="cpu", observers=[MetricsLog(QUIET)])
    rows = rows_of(out / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    assert untimed(rows) == untimed(rows_of(whole / "metrics.csv"))
    board = EventAccumulator(str(out / "tensorboard"))
    board.Reload()
    steps = [event.step for event in board.Scalars("loss/generator")]
    assert len(steps) == len(set(steps))
    killed, ended = json.loads((out / "run.json").read_text())["sessions"]
    assert "ended" not in killed
    assert (ended["from_step"] >= 4, ended["reason"]) == (True, "all 4 epochs done")
    assert (out / "curves.png").is_file()


def untimed(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{name: text for name, text in row.items() if name != "seconds"} for row in rows]


def wait_for_step(path: Path, least: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 500
    while time.monotonic() < end and process.poll() is None:
        if path.is_file() and len(path.read_bytes().splitlines()) > least:
            return
        time.sleep(0.005)
    raise AssertionError(f"the run did not reach step {least}")


def step(number: int, losses: Mapping[str, float], skipped: int = 0) -> StepRecord:
    norms, rates = {"generator": 2.0}, {"generator": 1e-3}
    return StepRecord(number, 1, number / 2, losses, norms, rates, {"generator": skipped})


class Start:
    """What the observers below ask of a run's start."""

    def __init__(self, folder: Path, step: int) -> None:
        self.folder, self.step, self.steps_per_epoch = folder, step, 10
        self.settings = tiny_settings(max_epochs=2, log_steps=1)


def start_of(folder: Path, step: int = 0) -> "Start":
    return Start(folder, step)


def test_a_loss_that_begins_later_gets_a_column(tmp_path: Path) -> None:
    log = MetricsLog(QUIET)
    log.on_start(start_of(tmp_path))  # type: ignore[arg-type]
    log.on_step(step(1, {"discriminator": 0.5}))
    log.on_step(step(2, {"discriminator": 0.4, "generator": math.nan}, skipped=1))
    log.on_end("")
    first, second = rows_of(tmp_path / "metrics.csv")
    assert (first["loss_discriminator"], first["loss_generator"]) == ("0.5", "")
    assert (second["loss_generator"], second["skipped_generator"]) == ("nan", "1")


def test_rows_after_the_resumed_step_and_half_rows_are_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "metrics.csv"
    log = MetricsLog(QUIET)
    log.on_start(start_of(tmp_path))  # type: ignore[arg-type]
    for number in range(1, 8):
        log.on_step(step(number, {"generator": float(number)}))
    path.write_bytes(path.read_bytes()[:-5])  # killed while it wrote step 7
    log = MetricsLog(QUIET)
    log.on_start(start_of(tmp_path, 4))  # type: ignore[arg-type]
    assert [row["step"] for row in read_metrics(path)[1]] == ["1", "2", "3", "4"]
    log.on_step(step(5, {"generator": 50.0}))
    log.on_end("")
    assert [row["loss_generator"] for row in rows_of(path)] == ["1", "2", "3", "4", "50"]
    assert capsys.readouterr().err == ""
    MetricsLog(QUIET).on_start(start_of(tmp_path, 9))  # type: ignore[arg-type]
    assert "lacks the steps 6 to 9" in capsys.readouterr().err
    MetricsLog(QUIET).on_start(start_of(tmp_path))  # type: ignore[arg-type]
    assert not path.exists()


def test_tensorboard_drops_steps_that_come_again(tmp_path: Path) -> None:
    for begin, end in ((0, 6), (3, 8)):
        board = Board(QUIET)
        board.on_start(start_of(tmp_path, begin))  # type: ignore[arg-type]
        for number in range(begin + 1, end + 1):
            board.on_step(step(number, {"generator": 1.0}))
        board.on_end("")
        time.sleep(1.1)  # the files' names have seconds
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [event.step for event in found.Scalars("loss/generator")] == list(range(1, 9))


def test_the_bar_shows_losses_rate_and_the_time_left() -> None:
    console = Console(quiet=True)
    detail = ProgressDetail(console)
    detail.on_start(start_of(Path()))  # type: ignore[arg-type]
    detail.on_step(step(1, {"generator": 1.25, "discriminator": 0.5}))
    assert console.detail == "loss 1.25, discriminator 0.5, rate 0.001"
    detail._shown_at = 0.0
    detail.on_step(step(4, {"generator": 1.25}, skipped=2))
    assert console.detail == "loss 1.25, rate 0.001, 2 steps skipped, run ends within 0:08"
    detail.on_end("")
    assert console.detail == ""


def test_curves_stay_small_and_keep_the_mean() -> None:
    curve = MeanCurve()
    for number in range(1, 10_001):
        curve.add(number, float(number))
    curve.add(10_001, math.nan)
    steps, values = curve.points()
    assert len(steps) <= 1000
    assert steps == values == sorted(steps)
    assert sum(n for _, _, n in curve.sums) == 10_000


def test_a_picture_that_cannot_be_written_does_not_end_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with without_ending_the_run(QUIET, "curves"):
        raise OSError(28, "No space left on device")
    assert "curves are not written ([Errno 28] No space left on device)" in capsys.readouterr().err


def test_tensorboard_on_a_full_disk_does_not_end_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = Board(QUIET)
    board.on_start(start_of(tmp_path))  # type: ignore[arg-type]

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(SummaryWriter, "add_scalar", fail)
        board.on_step(step(1, {"generator": 1.0}))
    for number in (2, 3):
        board.on_step(step(number, {"generator": 1.0}))
    board.on_save()
    board.on_end("")
    told = capsys.readouterr().err
    assert told.count("TensorBoard's files are not written") == 1
