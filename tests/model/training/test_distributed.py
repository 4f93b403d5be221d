"""Several processes, started by torchrun, train as one with accumulation does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_songs import tiny_settings
from helpers.training_runs import WAVEFORM

from apollo_data.settings import Settings, settings_toml

SCRIPT = Path(__file__).parents[2] / "helpers/torchrun_training.py"
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def start(
    settings: Settings, shards: Path, out: Path, processes: int, stopped_rank: int = -1
) -> subprocess.CompletedProcess[str]:
    out.mkdir(exist_ok=True)
    config = out / "settings.toml"
    config.write_text(settings_toml(settings))
    launcher = TWO if processes == 2 else ()
    paths = [str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *launcher, SCRIPT, config, shards, out, str(stopped_rank)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def report(out: Path, rank: int = 0) -> Any:
    return json.loads((out / f"report-{rank}.json").read_text())


@pytest.mark.slow
def test_the_first_gradients_of_both_networks_are_those_of_one_process(
    shards: Path, tmp_path: Path
) -> None:
    for name, processes in (("one", 1), ("two", 2)):
        settings = tiny_settings(
            batch_size=1,
            accumulate_steps=2 // processes,
            max_epochs=1,
            batches_per_epoch=1,
            validation_metrics=(),
        )
        done = start(settings, shards, tmp_path / name, processes)
        assert done.returncode == 0, done.stderr
    one, *two = (
        torch.load(tmp_path / name, weights_only=True)
        for name in ("one/gradients-0.pt", "two/gradients-0.pt", "two/gradients-1.pt")
    )
    assert len(one) == 2  # the discriminator's and the network's
    for expected, *others in zip(one, *two, strict=True):
        largest = max(float(value.abs().max()) for value in expected.values())
        for found in others:
            for name, value in expected.items():
                assert torch.allclose(found[name], value, rtol=1e-5, atol=1e-5 * largest), name


@pytest.mark.slow
def test_fifty_steps_lead_to_the_same_score(shards: Path, tmp_path: Path) -> None:
    def settings(accumulate: int, epochs: int = 17) -> Settings:
        return tiny_settings(
            batch_size=1,
            accumulate_steps=accumulate,
            max_epochs=epochs,  # of three steps
            validation_metrics=(),
            checkpoint_minutes=60,
            loss=WAVEFORM,
        )

    for name, processes in (("one", 1), ("two", 2)):
        done = start(settings(2 // processes), shards, tmp_path / name, processes)
        assert done.returncode == 0, done.stderr
    assert report(tmp_path / "one")["steps"] == report(tmp_path / "two")["steps"] == 51
    scores = [report(tmp_path / name)["scores"]["si_snr"] for name in ("one", "two")]
    assert scores[0] == pytest.approx(scores[1], abs=2e-3)
    assert report(tmp_path / "two", 1) == report(tmp_path / "two")
    assert [path.name for path in (tmp_path / "two").glob("*.safetensors")] == ["best.safetensors"]
    # What two processes saved, one goes on from, with the same batches to a step.
    alone = start(settings(2, epochs=18), shards, tmp_path / "two", 1)
    assert alone.returncode == 0, alone.stderr
    assert report(tmp_path / "two")["steps"] == 54


@pytest.mark.slow
def test_sigterm_to_one_process_ends_all_with_a_saved_state(shards: Path, tmp_path: Path) -> None:
    settings = tiny_settings(batch_size=2, max_epochs=50, loss=WAVEFORM)  # 6 pairs: 3 for each
    stopped = start(settings, shards, tmp_path, 2, stopped_rank=1)
    assert stopped.returncode == 0, stopped.stderr
    assert "Warning" not in stopped.stderr
    assert [report(tmp_path, rank)["steps"] for rank in (0, 1)] == [2, 2]
    assert report(tmp_path, 1)["stopped"] == "SIGTERM"
    assert torch.load(tmp_path / "last.pt", weights_only=True)["trainer"]["steps"] == 2
