"""The page about restoring: its commands and programs run, its tables are true."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from helpers import hostile
from helpers.small_networks import save_small
from helpers.small_songs import tone

from apollo_data.errors import AudioError, DataError
from apollo_model.cli import app
from apollo_model.restore.formats import _SUFFIXES, FORMATS, OutputFormat

PAGE = Path("docs/restore.md").read_text(encoding="utf-8")
ROWS = {
    row[0].split("`")[1]: row[1:]
    for line in PAGE.splitlines()
    if len(row := [cell.strip() for cell in line.strip("|").split("|")]) == 4
    and row[0].startswith("`")
    and row[0] != "`--format`"
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?s)```{language}\n(.*?)```", PAGE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder that has what the page speaks of."""
    for name in ("song.mp3", "albums/one/a.mp3", "albums/b.flac"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, tone("page", 0.2), 44100)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    save_small(tmp_path / "runs" / "demo" / "best.safetensors")
    save_small(tmp_path / "best.safetensors")
    save_small(tmp_path / "causal.safetensors", causal=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_commands_run(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = blocks("sh")[0].splitlines()
    assert len(lines) == 2
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "apollo-model"
        ended = hostile.run(app, words, capfd)
        assert ended.status == 0, ended
    assert (place / "song.wav").is_file()
    assert (place / "restored" / "one" / "a.flac").is_file()
    assert (place / "restored" / "b.flac").is_file()
    ended = hostile.run(app, shlex.split(lines[1])[1:], capfd)
    assert "0 restored, 2 were done already, 0 failed" in ended.out


def test_the_programs_run(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    programs = blocks("python")
    assert len(programs) == 2
    for program in programs:
        names = {"samples": np.zeros((2, 5000), np.float32)}
        exec(compile(program, "docs/restore.md", "exec"), names)
        if "rest" in names:
            assert names["ready"].shape[1] + names["rest"].shape[1] == 5000
        else:
            assert names["report"].count("restored") == 2
    assert capfd.readouterr().out == "[]\n"


def test_the_table_of_formats_is_that_of_the_code() -> None:
    assert tuple(sorted(ROWS)) == tuple(sorted(FORMATS))
    for name in FORMATS:
        samples, channels, length = ROWS[name]
        assert length.startswith("exact")
        for depth in ("16", "24", "float"):
            told = f"`{depth}`" in samples or f"--depth {depth}" in samples
            own = samples.startswith("float" if depth == "float" else f"{depth} bits")
            assert allowed(OutputFormat(name, depth)) == (told or own), (name, depth)
        assert allowed(OutputFormat(name, kbps=128)) == ("--kbps" in samples), name
        for count in range(1, 13):
            form = OutputFormat(name)
            assert holds(form, count) == (channels == "any" or count in counts(channels)), (
                name,
                count,
            )


def counts(text: str) -> set[int]:
    """Read "up to 8" or "1-4, 6, 8"."""
    if text.startswith("up to "):
        return set(range(1, int(text.removeprefix("up to ")) + 1))
    found: set[int] = set()
    for part in text.split(", "):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def allowed(form: OutputFormat) -> bool:
    try:
        form.check()
    except DataError:
        return False
    return True


def holds(form: OutputFormat, channels: int) -> bool:
    try:
        form.check_size(channels, 1000)
    except AudioError:
        return False
    return True


def test_the_suffixes_that_can_be_written_are_listed() -> None:
    names = PAGE[PAGE.index("**Names.**") : PAGE.index("**Checked first.**")]
    assert set(re.findall(r"`(\.\w+)`", names)) == set(_SUFFIXES) - {".wave"}


def test_every_option_named_there_exists() -> None:
    commands = typer.main.get_command(app).commands
    known = {
        option
        for name in ("restore", "stream")
        for parameter in commands[name].params
        for option in parameter.opts
    }
    named = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert len(named) > 8
    assert named <= known


@pytest.mark.parametrize("form", ["m4a", "opus"])
def test_the_channel_of_low_frequencies_is_low_in_m4a(
    place: Path, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    time = np.arange(44100) / 44100
    low, high = (0.1 * np.sin(2 * np.pi * hertz * time) for hertz in (150, 1000))
    soundfile.write(place / "six.wav", np.stack([low + high] * 6, 1), 44100)
    words = ["restore", "six.wav", "--out", f"six.{form}", "--dry-wet", "0"]
    words += ["--checkpoint", "best.safetensors"]
    assert hostile.run(app, words, capfd).status == 0
    words[1:4] = [f"six.{form}", "--out", "back.wav"]
    assert hostile.run(app, words, capfd).status == 0
    sound = soundfile.read(place / "back.wav")[0][:44100, 3]
    spectrum = np.abs(np.fft.rfft(sound)) * 2 / 44100
    assert spectrum[150] > 0.08
    assert (spectrum[1000] < 0.01) == (form == "m4a")
