"""A run that is killed or stopped goes on as if it had not been."""

import errno
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
import torch
from helpers.small_songs import tiny_settings
from helpers.training_runs import (
    WAVEFORM,
    Heard,
    Notes,
    assert_same_weights,
    in_child,
    killed_at,
    networks,
    run,
    send_at,
)

from apollo_data.errors import DataError
from apollo_data.settings import Settings
from apollo_model.training.run import TrainingReport


def many_steps(**training: object) -> Settings:
    """Eight epochs of three steps, the last of each with a batch of another size."""
    values = {"max_epochs": 8, "batch_size": 2, "batches_per_epoch": 3, "loss": WAVEFORM}
    return tiny_settings(**{**values, **training})


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(0, 16), (2, 4)])
def test_killed_at_random_steps_it_ends_with_the_same_weights(
    shards: Path, tmp_path: Path, workers: int, kills: int
) -> None:
    settings = many_steps(loader_workers=workers, checkpoint_steps=1, ema_decay=0.9)
    run(many_steps(ema_decay=0.9), shards, tmp_path / "whole")
    rng = random.Random(workers)
    steps = {*rng.sample(range(1, 24), kills - 3), 3, 9, 23}  # epoch edges too
    for step in sorted(steps):
        killed_at(step, settings, shards, tmp_path / "parts")
    run(settings, shards, tmp_path / "parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    histories = [
        [line.split(",")[:2] + line.split(",")[3:] for line in path.read_text().splitlines()]
        for path in sorted(tmp_path.glob("*/history.csv"))
    ]
    assert histories[0] == histories[1]
    best = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("whole", "parts")]
    assert best[0][-1000:] == best[1][-1000:]


def test_with_discriminators_and_accumulation_too(shards: Path, tmp_path: Path) -> None:
    settings = many_steps(
        max_epochs=2, batch_size=1, accumulate_steps=2, checkpoint_steps=2, loss={}
    )
    run(settings, shards, tmp_path / "whole")
    for step in (3, 5):  # the state is older than the step
        killed_at(step, settings, shards, tmp_path / "parts")
    run(settings, shards, tmp_path / "parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_has_saved_its_last_step(shards: Path, tmp_path: Path, number: int) -> None:
    settings = many_steps(max_epochs=2)
    run(settings, shards, tmp_path / "whole")
    watching = send_at(2, number)
    report = run(settings, shards, tmp_path / "parts", observers=[watching])
    assert report.stopped_by == signal.Signals(number).name
    assert report.steps == 2
    assert watching.ends == [f"stopped by {report.stopped_by}"]
    assert torch.load(tmp_path / "parts/last.pt", weights_only=True)["trainer"]["steps"] == 2
    again = Notes()
    assert run(settings, shards, tmp_path / "parts", observers=[again]).stopped_by is None
    assert [record.step for record in again.steps] == [3, 4, 5, 6]
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_run_stopped_while_it_validates_goes_on(shards: Path, tmp_path: Path) -> None:
    settings = many_steps(max_epochs=2)
    run(settings, shards, tmp_path / "whole")
    last_step = send_at(6, signal.SIGTERM)  # found when the loop asks, before the validation
    assert run(settings, shards, tmp_path / "parts", observers=[last_step]).epochs == 1
    assert run(settings, shards, tmp_path / "parts").epochs == 2
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_a_second_ctrl_c_ends_at_once(shards: Path, tmp_path: Path) -> None:
    def twice(step: int) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(many_steps(), shards, tmp_path, observers=[Notes(twice)])


def test_a_damaged_last_state_falls_back_to_the_previous(shards: Path, tmp_path: Path) -> None:
    settings = many_steps(max_epochs=2)
    run(settings, shards, tmp_path / "whole")
    parts = tmp_path / "parts"
    run(many_steps(max_epochs=1), shards, parts)
    last = parts / "last.pt"
    last.write_bytes(last.read_bytes()[:5000])
    console = Heard()
    run(settings, shards, parts, console=console)
    assert "last.pt: is damaged" in console.warnings[0]
    assert "going on from" in console.warnings[0]
    assert_same_weights(tmp_path / "whole", parts)
    last.unlink()
    run(settings, shards, parts, console=console)
    assert "last.pt is missing" in console.warnings[1]
    for name in ("last.pt", "previous.pt"):
        (parts / name).write_bytes(b"cut off")
    with pytest.raises(DataError, match=r"is damaged .*--fresh"):
        run(settings, shards, parts)


def test_a_kill_while_the_state_is_written_leaves_the_one_before(
    shards: Path, tmp_path: Path
) -> None:
    settings = many_steps(max_epochs=2, checkpoint_steps=1)
    run(settings, shards, tmp_path / "whole")

    def dies_in_its_fourth_save() -> None:
        whole, saves = torch.save, []

        def save(*arguments: object) -> None:
            saves.append(1)
            whole(*arguments)
            if len(saves) == 4:
                os.kill(os.getpid(), signal.SIGKILL)

        torch.save = save
        run(settings, shards, tmp_path / "parts")

    assert in_child(dies_in_its_fourth_save) == -signal.SIGKILL
    assert list((tmp_path / "parts").glob(".*.partial"))
    run(settings, shards, tmp_path / "parts")
    assert not list((tmp_path / "parts").glob(".*.partial"))
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_a_full_disk_is_one_line_and_the_old_state_stays(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = many_steps(max_epochs=1)
    run(settings, shards, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()

    def full(_content: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(
        DataError, match=r"last\.pt: the state cannot be written \(No space"
    ) as info:
        run(many_steps(max_epochs=2), shards, tmp_path)
    assert "\n" not in str(info.value)
    assert (tmp_path / "last.pt").read_bytes() == before
    assert not list(tmp_path.glob(".*.partial"))


def test_the_state_is_saved_by_the_clock_and_by_the_step(shards: Path, tmp_path: Path) -> None:
    def saves(**training: object) -> int:
        class Count(Notes):
            count = 0

            def on_save(self) -> None:
                Count.count += 1

        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        run(many_steps(max_epochs=1, **training), shards, tmp_path / "out", observers=[Count()])
        return Count.count

    assert saves() == 2  # before the first step and after the epoch
    assert saves(checkpoint_steps=2) == 3
    assert saves(checkpoint_minutes=1e-9) == 5
    assert saves(keep_steps=2) == 3
    kept = torch.load(tmp_path / "out/kept/step-00000002.pt", weights_only=True)
    assert kept["trainer"]["steps"] == 2


def test_a_state_of_a_gpu_goes_on_on_a_cpu(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(many_steps(max_epochs=2), shards, tmp_path / "whole")
    with monkeypatch.context() as patch:  # the file says of each tensor where it was
        patch.setattr(torch.serialization, "location_tag", lambda _storage: "cuda:0")
        run(many_steps(max_epochs=1), shards, tmp_path / "parts")
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(tmp_path / "parts/last.pt", weights_only=True)
    run(many_steps(max_epochs=2), shards, tmp_path / "parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_fresh_begins_anew_and_loses_nothing(shards: Path, tmp_path: Path) -> None:
    settings = many_steps(max_epochs=1)
    run(settings, shards, tmp_path)
    first = networks(tmp_path)
    notes = Notes()
    run(many_steps(max_epochs=1, seed=1), shards, tmp_path, fresh=True, observers=[notes])
    assert [record.step for record in notes.steps] == [1, 2, 3]
    kept = networks(tmp_path / "old-1")
    assert all(torch.equal(kept[name], first[name]) for name in first)
    assert not torch.equal(kept[name := "generator.BN.0.1.weight"], networks(tmp_path)[name])


def test_a_state_of_an_earlier_version_is_told_as_such(shards: Path, tmp_path: Path) -> None:
    old = {"key": "x", "untrained_loss": 1.0, "history": [], "trainer": {"modules": []}}
    torch.save(old, tmp_path / "last.pt")
    with pytest.raises(DataError, match=r"of an earlier version .* --fresh --init .*best.safetens"):
        run(many_steps(), shards, tmp_path)


def test_a_finished_run_stays_finished(shards: Path, tmp_path: Path) -> None:
    def finished() -> tuple[TrainingReport, int]:
        notes = Notes()
        return run(many_steps(max_epochs=1), shards, tmp_path, observers=[notes]), len(notes.steps)

    report, steps = finished()
    assert steps == 3
    assert finished() == (report, 0)
    notes = Notes()
    more = many_steps(max_epochs=2, validation_metrics=("spectral",))
    assert set(run(more, shards, tmp_path, observers=[notes]).codec_scores) == {
        "si_snr",
        "spectral",
    }
    assert set(notes.validations[0].codec_scores) == {"si_snr", "spectral"}
