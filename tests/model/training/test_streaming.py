"""The causal network can be trained, and then runs in `apollo-model stream`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from helpers.small_songs import tiny_settings
from helpers.training_runs import WAVEFORM, run

from apollo_data.settings import parse_settings
from apollo_model.checkpoint.formats import load_network


def test_a_causal_network_trains_and_streams(shards: Path, tmp_path: Path) -> None:
    settings = tiny_settings(max_epochs=1, generator_learning_rate=1e-2, loss=WAVEFORM)
    causal = settings.network.model_copy(update={"causal": True})
    report = run(settings.model_copy(update={"network": causal}), shards, tmp_path)
    network = load_network(report.checkpoint)
    assert network.causal
    torch.manual_seed(0)
    sound = 0.1 * torch.randn(1, 2, 22050)
    program = [sys.executable, "-m", "apollo_model", "stream", "--dtype", "float32", "--quiet"]
    streamed = subprocess.run(
        [*program, "--checkpoint", report.checkpoint],
        input=sound[0].T.contiguous().numpy().tobytes(),
        capture_output=True,
        timeout=120,
    )
    assert streamed.returncode == 0, streamed.stderr
    restored = np.frombuffer(streamed.stdout, "<f4").reshape(-1, 2).T
    with torch.inference_mode():
        expected = network(sound)[0].numpy()
    delay = restored.shape[1] - expected.shape[1]
    assert delay >= 0
    inner = slice(2000, 20000)
    shifted = restored[:, delay:] if delay else restored
    assert np.abs(shifted[:, inner] - expected[:, inner]).max() < 1e-3
    assert np.abs(expected - sound[0].numpy()).max() > 1e-4  # it has learnt something


def test_causal_is_a_setting() -> None:
    assert parse_settings({"network": {"causal": True}}, "test").network.causal
    assert not parse_settings({}, "test").network.causal
