"""Each command of apollo-model against hostile arguments: no traceback, no false success."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from helpers import hostile
from helpers.hostile import Command, hostile_cases, what_is_wrong
from helpers.small_networks import save_small
from helpers.small_songs import tiny_settings, tone

from apollo_data.settings import settings_toml
from apollo_model.checkpoint.formats import load_network
from apollo_model.cli import app

PROGRAM = "from apollo_model.cli import main; main()"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> dict[str, str]:
    """Good values for all slots; the outputs are made by nobody who is refused."""
    folder = tmp_path_factory.mktemp("good")
    soundfile.write(folder / "song.wav", tone("sweep", 0.3), 44100)
    settings = tiny_settings(max_epochs=1, batches_per_epoch=1)
    (folder / "tiny.toml").write_text(settings_toml(settings))
    return {
        "input": str(folder / "song.wav"),
        "checkpoint": str(save_small(folder / "net.safetensors")),
        "causal": str(save_small(folder / "causal.safetensors", causal=True)),
        "config": str(folder / "tiny.toml"),
        "shards": str(shards),
        "out": str(folder / "out"),
        "card": str(folder / "card.md"),
        "device": "cpu",
        "number": "1",
    }


@pytest.fixture(scope="module")
def long_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "long.wav"
    with soundfile.SoundFile(path, "w", 44100, 2) as long:
        second = tone("long", 1.0)
        for _ in range(400):
            long.write(second)
    return path


def command(good: dict[str, str], line: str, **slots: tuple[str, ...]) -> Command:
    return Command(tuple(line.split()), values=good, **slots)


COMMANDS: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "restore": (
        "restore {input} --out {out} --checkpoint {checkpoint} --device {device}",
        {"inputs": ("input", "checkpoint"), "outputs": ("out",), "devices": ("device",)},
    ),
    "restore --track": (
        "restore {input} --out {out} --checkpoint {checkpoint} --track {number}",
        {"numbers": ("number",)},
    ),
    "restore --dry-wet": (
        "restore {input} --out {out} --checkpoint {checkpoint} --dry-wet {number}",
        {"numbers": ("number",)},
    ),
    "restore --kbps": (
        "restore {input} --out {out} --checkpoint {checkpoint} --format mp3 --kbps {number}",
        {"numbers": ("number",)},
    ),
    "restore --max-memory": (
        "restore {input} --out {out} --checkpoint {checkpoint} --max-memory {number}",
        {"numbers": ("number",)},
    ),
    "stream": (
        "stream --checkpoint {causal} --device {device}",
        {"inputs": ("causal",), "devices": ("device",)},
    ),
    "stream --channels": (
        "stream --checkpoint {causal} --channels {number}",
        {"numbers": ("number",)},
    ),
    "stream --rate": ("stream --checkpoint {causal} --rate {number}", {"numbers": ("number",)}),
    "bench": (
        "bench --checkpoint {checkpoint} --runs 1 --device {device}",
        {"inputs": ("checkpoint",), "devices": ("device",)},
    ),
    "bench --seconds": (
        "bench --checkpoint {checkpoint} --runs 1 --seconds {number}",
        {"numbers": ("number",)},
    ),
    "bench --runs": ("bench --checkpoint {checkpoint} --runs {number}", {"numbers": ("number",)}),
    "info": (
        "info {checkpoint} --card {card}",
        {"inputs": ("checkpoint",), "outputs": ("card",)},
    ),
    "convert": (
        "convert {checkpoint} {card}",
        {"inputs": ("checkpoint",), "outputs": ("card",)},
    ),
    "train --init": (
        "train --config {config} --shards {shards} --out {out} --init {checkpoint}",
        {"inputs": ("checkpoint",)},
    ),
    "eval": (
        "eval --config {config} --checkpoint {checkpoint} --shards {shards} --out {out}"
        " --device {device}",
        {
            "inputs": ("config", "checkpoint", "shards"),
            "outputs": ("out",),
            "devices": ("device",),
        },
    ),
    "train": (
        "train --config {config} --shards {shards} --out {out} --device {device}",
        {"inputs": ("config", "shards"), "outputs": ("out",), "devices": ("device",)},
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_hostile_arguments_are_refused_in_one_line(
    name: str,
    good: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    monkeypatch.chdir(tmp_path)
    line, slots = COMMANDS[name]
    swept = command(good, line, **slots)
    wrong = []
    for slot, what, make in hostile_cases(swept):
        if slot == "config" and what == "empty file":
            continue  # a pipeline file without settings means the defaults
        words = swept.line(slot, make(hostile.fresh(tmp_path / "case")))
        ended = hostile.run(app, words, capfd)
        if problem := what_is_wrong(ended):
            wrong.append((slot, what, problem, ended))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("odd", hostile.ODD_NAMES.values(), ids=list(hostile.ODD_NAMES))
def test_odd_names_work(
    odd: str, good: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / odd
    folder.mkdir()
    song, network = folder / f"{odd}.wav", folder / f"{odd}.safetensors"
    song.write_bytes(Path(good["input"]).read_bytes())
    network.write_bytes(Path(good["checkpoint"]).read_bytes())
    for form in ("wav", "mp3"):
        words = ["restore", str(folder), "--out", str(folder / "out"), "--format", form, "--json"]
        ended = hostile.run(app, [*words, "--checkpoint", str(network)], capfd)
        assert ended.status == 0, ended
        (file,) = json.loads(ended.out)["files"]
        assert os.fsencode(file["source"]) == os.fsencode(song)
        assert (folder / "out" / f"{odd}.{form}").stat().st_size > 1000
        again = hostile.run(app, [*words, "--checkpoint", str(network)], capfd)
        assert json.loads(again.out)["files"][0]["status"] == "skipped"
    ended = hostile.run(app, ["info", str(network), "--card", str(folder / "card.md")], capfd)
    assert ended.status == 0, ended
    assert (folder / "card.md").stat().st_size > 100


@pytest.mark.parametrize(
    ("name", "odd"), [("eval", "not UTF-8"), ("eval", "newline"), ("train", "newline")]
)
def test_odd_names_work_for_runs(
    name: str,
    odd: str,
    good: dict[str, str],
    shards: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / hostile.ODD_NAMES[odd]
    folder.mkdir()
    (folder / "shards").symlink_to(shards)
    (folder / "net.safetensors").write_bytes(Path(good["checkpoint"]).read_bytes())
    (folder / "tiny.toml").write_bytes(Path(good["config"]).read_bytes())
    places = {
        "shards": str(folder / "shards"),
        "checkpoint": str(folder / "net.safetensors"),
        "config": str(folder / "tiny.toml"),
        "out": str(folder / "out"),
    }
    swept = command(good | places, COMMANDS[name][0])
    words = swept.line()
    if name == "eval":
        words += ["--limit", "1", "--metrics", "si_snr", "--clips", "0", "--workers", "1"]
    ended = hostile.run(app, words, capfd, seconds=150)
    assert ended.status == 0, ended
    if name == "train":
        load_network(folder / "out" / "best.safetensors")
    else:
        assert (folder / "out" / "summary.json").stat().st_size > 100


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("name", ["restore", "info", "bench", "stream"])
def test_results_that_are_lost_are_an_error(name: str, good: dict[str, str]) -> None:
    words = {
        "restore": ["restore", good["input"], "--out", good["out"]],
        "info": ["info", good["checkpoint"]],
        "bench": ["bench", "--runs", "1"],
        "stream": ["stream"],
    }[name]
    if name != "info":
        network = good["causal" if name == "stream" else "checkpoint"]
        words += ["--checkpoint", network]
    sound = Path(good["input"]).read_bytes()
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            input=sound[: len(sound) // 8 * 8],
            timeout=120,
        )
    told = done.stderr.decode()
    assert done.returncode == 1, told
    assert "cannot be written (No space left on device)" in told
    assert "Traceback" not in told


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_no_signal_leaves_temporary_files_for_ever(
    sent: signal.Signals, good: dict[str, str], long_song: Path, tmp_path: Path
) -> None:
    scratch, out = tmp_path / "tmp", tmp_path / "out.wav"
    scratch.mkdir()
    words = ["restore", str(long_song), "--out", str(out)]
    words += ["--checkpoint", good["checkpoint"]]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], env=environment)
    deadline = time.monotonic() + 100
    while not list(scratch.glob("apollo-restore-*/restored.wav")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(sent)
    process.wait(60)
    if sent == signal.SIGKILL:
        assert list(scratch.glob("apollo-restore-*"))
        (tmp_path / ".out.wav.abcd1234.partial").write_bytes(b"of the killed process")
        words[1] = good["input"]
        subprocess.run(
            [sys.executable, "-c", PROGRAM, *words], env=environment, check=True, timeout=100
        )
        assert out.exists()
    else:
        assert process.returncode == (130 if sent == signal.SIGINT else 128 + sent)
        assert not out.exists()
    assert not list(scratch.glob("apollo-*"))
    assert not list(tmp_path.glob(".*.partial"))
