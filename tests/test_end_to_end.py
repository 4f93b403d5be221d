"""The README's commands, one after the other, on a demo small enough for a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PIPELINE = """
source = "demo"
[demo]
songs = 6
seconds = 8.0
[mixing]
clip_seconds = 1.0
[shards]
train_clips = 8
valid_clips = 2
clips_per_shard = 4
[evaluation]
per_category = 1
[network]
feature_dim = 16
layers = 1
residual = true
[training]
batch_size = 2
crop_seconds = 0.5
max_epochs = 1
[training.loss]
adversarial = 0.0
feature_matching = 0.0
waveform = 1.0
"""


@pytest.mark.slow
def test_from_nothing_to_scores(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(PIPELINE)

    def run(program: str, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [Path(sys.executable).parent / program, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == status, done.stderr
        return done.stdout

    run("apollo-data", "build-h5", "--config", "tiny.toml", "--workers", "2")
    assert "are whole" in run("apollo-data", "verify", "data/tiny/shards")
    for split in ("train", "valid", "test"):
        assert list((tmp_path / "data/tiny/shards" / split).glob("shard-*.h5"))
    activity = json.loads(run("apollo-data", "sad", "--in", "data/tiny", "--json"))
    assert len(activity) == 12  # 11 stem classes and all of them together
    assert "1 epochs (all 1 epochs done)" in run("apollo-model", "train", "--config", "tiny.toml")
    run("apollo-model", "train", "--config", "tiny.toml", status=1)
    shown = run("apollo-model", "eval", "--config", "tiny.toml")
    assert "best - codec" in shown
    summary = json.loads((tmp_path / "runs/tiny/eval/summary.json").read_text())
    assert list(summary["systems"]) == ["codec", "best"]
    bitrates = summary["systems"]["best"]["by_bitrate"]
    assert list(bitrates) == ["24", "32", "48", "64", "96", "128"]
    assert all(scores["si_snr"] > 0 for scores in bitrates.values())
