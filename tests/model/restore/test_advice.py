"""What a message tells the user to do next does help: each piece of advice is followed here."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import hostile
from helpers.small_networks import save_small
from helpers.small_songs import tone

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_model.cli import app

RATE = 44100


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    save_small(tmp_path / "net.safetensors")
    save_small(tmp_path / "causal.safetensors", causal=True)
    soundfile.write(tmp_path / "a.wav", tone("advice", 0.2), RATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def restore(capfd: pytest.CaptureFixture[str], line: str) -> hostile.Ended:
    words = ["restore", *line.split(), "--checkpoint", "net.safetensors"]
    return hostile.run(app, words, capfd)


def test_use_overwrite(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (place / "b.wav").write_bytes(b"mine")
    refused = restore(capfd, "a.wav -o b.wav")
    assert "exists and was not made by this command; use --overwrite" in refused.out
    assert restore(capfd, "a.wav -o b.wav --overwrite").status == 0
    assert restore(capfd, "a.wav -o b.wav --format wav").status == 0


def test_choose_another_out(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "is an input of this run; choose another --out" in restore(capfd, "a.wav -o a.wav").out
    assert restore(capfd, "a.wav -o other.wav").status == 0


@pytest.mark.parametrize(
    ("options", "channels", "rate", "advice", "instead"),
    [
        ("--format mp3", 3, RATE, "use --format wav", "--format wav"),
        ("--format m4a", 7, RATE, "use --format flac", "--format flac"),
        ("--format opus", 5, RATE, "use --format flac", "--format flac"),
        ("--format mp3 --keep-rate", 1, 96_000, "leave out --keep-rate", "--format mp3"),
        ("--format m4a --keep-rate", 1, 12_345, "or use WAV", "--format wav --keep-rate"),
        ("--format ogg --keep-rate", 1, 384_000, "leave out --keep-rate", "--format ogg"),
        ("--format flac --depth float", 1, RATE, "use --depth 24", "--format flac --depth 24"),
        ("--format flac --depth float", 1, RATE, "or --format wav", "--format wav --depth float"),
        ("--format ogg --kbps 128", 1, RATE, "leave out --kbps", "--format ogg"),
    ],
)
def test_another_format(
    place: Path,
    capfd: pytest.CaptureFixture[str],
    options: str,
    channels: int,
    rate: int,
    advice: str,
    instead: str,
) -> None:
    soundfile.write(place / "many.wav", np.zeros((rate // 10, channels)), rate)
    refused = restore(capfd, f"many.wav -o out {options}")
    assert refused.status == 1
    assert advice in refused.out + refused.err
    ended = restore(capfd, f"many.wav -o out {instead}")
    assert ended.status == 0, ended


def test_name_a_folder(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (place / "b.wav").write_bytes((place / "a.wav").read_bytes())
    assert "name a folder" in restore(capfd, "a.wav b.wav -o c.wav").err
    assert restore(capfd, "a.wav b.wav -o folder").status == 0
    refused = restore(capfd, "a.wav -o c.wma").err
    for suffix in re.findall(r"\.(\w+)", refused.split("use one of")[1]):
        assert restore(capfd, f"a.wav -o c.{suffix}").status == 0


def test_into_folders_of_their_own(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (place / "other").mkdir()
    (place / "other" / "a.wav").write_bytes((place / "a.wav").read_bytes())
    refused = restore(capfd, "a.wav other/a.wav -o out")
    assert "restore them one after the other, into folders of their own" in refused.err
    assert restore(capfd, "a.wav -o one").status == 0
    assert restore(capfd, "other/a.wav -o two").status == 0


def test_the_memory_that_it_needs(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused = restore(capfd, "a.wav -o b.wav --max-memory 1MB").err
    found = re.search(r"is too little for this network, which needs (\d+MB)", refused)
    assert found
    assert restore(capfd, f"a.wav -o b.wav --max-memory {found[1]}").status == 0


def test_streams(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused = hostile.run(app, ["stream", "--checkpoint", "net.safetensors"], capfd)
    assert "use `apollo-model restore`, or an Apollo network trained with causal" in refused.err
    words = ["stream", "--checkpoint", "causal.safetensors", "--rate", "48000"]
    refused = hostile.run(app, words, capfd)
    found = re.search(r"let ffmpeg convert \((-ar \d+)\)", refused.err)
    assert found
    command = [find_ffmpeg(), "-v", "error", "-i", "a.wav", *found[1].split(), "-f", "f32le", "-"]
    pcm = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert len(pcm) == 8 * soundfile.info("a.wav").frames
