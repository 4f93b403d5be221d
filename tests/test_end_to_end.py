"""The README's commands, one after the other, as they stand there; then a small network."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

README = Path("README.md").read_text(encoding="utf-8")
TINY_NETWORK = """
[network]
feature_dim = 16
layers = 1
residual = true
[training]
batch_size = 2
crop_seconds = 0.5
batches_per_epoch = 5
max_epochs = 1
[training.loss]
adversarial = 0.0
feature_matching = 0.0
waveform = 1.0
"""


def blocks(language: str) -> list[str]:
    """Code blocks of the section that a newcomer types in."""
    section = README.split("## The first ten minutes", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_readme_from_nothing_to_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).parent / words[0], *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    (pipeline,) = blocks("toml")
    (tmp_path / "mine.toml").write_text(pipeline)
    shown = {}
    for line in "".join(blocks("sh")[:3]).splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] == "apollo-data":
            shown[words[1]] = run(*words)
    assert set(shown) == {
        *("demo", "sad", "build-h5", "inspect", "verify", "mix", "stats", "export")
    }
    assert "are whole" in shown["verify"]
    for split, targets in (("train", 64), ("valid", 8), ("test", 4)):
        assert re.search(rf"{split} +\d+ +{targets} ", shown["build-h5"])
    assert len(list(tmp_path.glob("data/mine/previews/*.wav"))) == 8
    assert (tmp_path / "sheet.png").stat().st_size > 10_000
    assert len(list(tmp_path.glob("elsewhere/clean/train_*.wav"))) == 64
    (program,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {})
    assert json.loads(capsys.readouterr().out.partition(" ")[2])["split"] == "train"

    with (tmp_path / "mine.toml").open("a") as file:
        file.write(TINY_NETWORK)
    train = ("apollo-model", "train", "--config", "mine.toml")
    trained = run(*train)
    assert "steps (all 1 epochs done)" in trained
    assert run(*train) == trained  # nothing is left to do
    assert "best - codec" in run("apollo-model", "eval", "--config", "mine.toml")
    summary = json.loads((tmp_path / "runs/mine/eval/summary.json").read_text())
    assert list(summary["systems"]) == ["codec", "best"]
    bitrates = summary["systems"]["best"]["by_bitrate"]
    assert list(bitrates) == ["24", "32", "48", "64", "96", "128"]
    assert all(scores["si_snr"] > 0 for scores in bitrates.values())
