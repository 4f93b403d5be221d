"""What would go wrong is found before the first step; what does go wrong is one line."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from helpers.small_songs import tiny_settings
from helpers.training_runs import WAVEFORM, Heard, Notes, in_child, run

from apollo_data.errors import ApolloError, DataError, ToolError
from apollo_data.settings import Settings
from apollo_data.shards import find_shards
from apollo_model.network.precision import choose_device
from apollo_model.training import least_squares_adversary as adversary_module
from apollo_model.training.guards import explained


def with_samples(
    shards: Path, folder: Path, split: str, change: Callable[[np.ndarray, np.ndarray], None]
) -> Path:
    """Copy shards as float32 and change what one split holds: (coded, clean)."""
    for path in find_shards(shards):
        place = folder / path.relative_to(shards)
        place.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path) as source, h5py.File(place, "w") as out:
            out.attrs.update(source.attrs)
            for name in source:
                if name not in ("codec", "target"):
                    source.copy(name, out)
            sides = [source[name][:].astype(np.float32) / 32767 for name in ("codec", "target")]
            if place.parent.name == split:
                change(*sides)
            out["codec"], out["target"] = sides
    return folder


def silence(coded: np.ndarray, clean: np.ndarray) -> None:
    coded[:], clean[:] = 0, 0


def all_nan(_coded: np.ndarray, clean: np.ndarray) -> None:
    clean[:] = np.nan


def test_crops_shorter_than_the_longest_window_are_refused(shards: Path, tmp_path: Path) -> None:
    settings = tiny_settings(crop_seconds=0.02, loss=WAVEFORM)
    with pytest.raises(DataError, match=r"crops have 882 samples.* 2048; set it to 0\.046 or more"):
        run(settings, shards, tmp_path)


@pytest.mark.parametrize("change", [silence, all_nan])
def test_a_validation_that_cannot_be_scored_is_refused(
    shards: Path, tmp_path: Path, change: Callable[[np.ndarray, np.ndarray], None]
) -> None:
    broken = with_samples(shards, tmp_path / "shards", "valid", change)
    with pytest.raises(DataError, match="no pair can be scored"):
        run(tiny_settings(loss=WAVEFORM), broken, tmp_path / "out")
    assert not (tmp_path / "out/last.pt").exists()


def test_one_pair_that_cannot_be_scored_is_left_out(shards: Path, tmp_path: Path) -> None:
    def first_is_nan(_coded: np.ndarray, clean: np.ndarray) -> None:
        clean[0, :, 5] = np.nan

    broken = with_samples(shards, tmp_path / "shards", "valid", first_is_nan)
    console = Heard()
    report = run(tiny_settings(max_epochs=1, loss=WAVEFORM), broken, tmp_path, console=console)
    assert "1 of 2 validation pairs" in console.warnings[0]
    assert np.isfinite(report.best_scores["si_snr"])


def test_shards_of_another_rate_or_length_are_refused(shards: Path, tmp_path: Path) -> None:
    def settings(**mixing: float) -> Settings:
        return tiny_settings(loss=WAVEFORM).model_copy(
            update={"mixing": tiny_settings().mixing.model_copy(update=mixing)}
        )

    with pytest.raises(DataError, match=r"clips of 0\.5 s.*mixing\.clip_seconds = 2"):
        run(settings(clip_seconds=2.0), shards, tmp_path / "out")
    other = with_samples(shards, tmp_path / "shards", "none", silence)
    with h5py.File(find_shards(other, "valid")[0], "r+") as shard:
        shard.attrs["sample_rate"] = 48000
    with pytest.raises(DataError, match="at 48000 Hz, the network works at 44100 Hz"):
        run(settings(), other, tmp_path / "out")


def test_nan_in_a_shard_is_told_as_such(shards: Path, tmp_path: Path) -> None:
    def one_nan(_coded: np.ndarray, clean: np.ndarray) -> None:
        if len(clean) == 4:  # the first shard
            clean[1] = np.nan

    broken = with_samples(shards, tmp_path / "shards", "train", one_nan)
    console, notes = Heard(), Notes()
    settings = tiny_settings(batch_size=1, max_epochs=1, loss={"waveform": 0.1})
    report = run(settings, broken, tmp_path / "out", console=console, observers=[notes])
    assert report.skipped == {"discriminator": 1, "generator": 1}
    assert notes.steps[-1].skipped == report.skipped
    assert all(
        "values that are not finite: train/shard-00000.h5 pair 1" in text
        for text in console.warnings
    )
    assert all(np.isfinite(value) for value in report.best_scores.values())


@pytest.mark.parametrize("term", ["feature_matching_loss", "discriminator_loss"])
def test_each_network_has_its_own_counter_and_ends_the_run(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    whole = getattr(adversary_module, term)
    monkeypatch.setattr(adversary_module, term, lambda *given: whole(*given) * float("nan"))
    console, notes = Heard(), Notes()
    name = "generator" if term.startswith("feature") else "discriminator"
    settings = tiny_settings(max_bad_steps=3)
    with pytest.raises(DataError, match=f"the gradient of the {name} .* 3 steps in a row") as info:
        run(settings, shards, tmp_path, console=console, observers=[notes])
    assert "its pairs are finite: train/shard-0000" in str(info.value)
    assert [record.skipped[name] for record in notes.steps] == [1, 2]
    assert notes.ends == ["an error"]
    batch = torch.load(tmp_path / "bad-batch.pt", weights_only=True)
    assert batch["step"] == 3
    assert len(batch["pairs"]) == len(batch["coded"]) == len(batch["clean"]) == 2
    assert batch["coded"].shape == (2, 2, 13230)


def test_a_network_that_is_not_finite_never_wins(shards: Path, tmp_path: Path) -> None:
    # Weights that overflow after the first update: each later validation has no score.
    settings = tiny_settings(
        generator_learning_rate=1e30, loss=WAVEFORM, max_epochs=2, max_bad_steps=100
    )
    console = Heard()
    with pytest.raises(DataError, match="no validation gave a score"):
        run(settings, shards, tmp_path, console=console)
    assert any("counts as the worst" in text for text in console.warnings)
    assert not (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "lower training.batch_size"),
        (MemoryError(), "training.activation_checkpointing = true"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."), "loader worker"),
        (RuntimeError("unable to write to file </torch_7>: No space left"), "/dev/shm is full"),
    ],
)
def test_what_runs_out_is_told_in_one_line(error: Exception, message: str) -> None:
    with pytest.raises(ApolloError, match=message) as info, explained(tiny_settings()):
        raise error
    assert "\n" not in str(info.value)


def test_a_killed_loader_worker_is_one_line_and_the_state_stays(
    shards: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(loader_workers=1, max_epochs=50, checkpoint_steps=2, loss=WAVEFORM)

    def kill_worker(step: int) -> None:
        if step == 4:
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)

    def train_until_it_is_killed() -> None:
        with pytest.raises(DataError, match="a loader worker ended"):
            run(settings, shards, tmp_path, observers=[Notes(kill_worker)])

    assert in_child(train_until_it_is_killed) == 0
    assert torch.load(tmp_path / "last.pt", weights_only=True)["trainer"]["steps"] >= 3


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps", "gpu", "xpu"])
def test_a_device_that_is_not_there_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ToolError, match=f"^--device {name}: [^\n]*$"):
        choose_device(name)
    assert choose_device("auto").type == "cpu"
