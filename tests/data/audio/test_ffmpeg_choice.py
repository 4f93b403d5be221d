"""Which ffmpeg is taken where there are several."""

import shlex
import shutil
from pathlib import Path

import pytest

from apollo_data.audio import ffmpeg_choice
from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.audio.ffmpeg_choice import choose_ffmpeg
from apollo_data.errors import ToolError

_BUSY = "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done"


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that puts scripts in place of imageio-ffmpeg's and the system's ffmpeg.

    Each is what it does before the real one takes over; all runs are noted in `runs`.
    """
    real = find_ffmpeg()
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.delenv("APOLLO_FFMPEG", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def put(bundled: str, system: str) -> tuple[str, str]:
        places = (tmp_path / "bundled", folder / "ffmpeg")
        for place, body in zip(places, (bundled, system), strict=True):
            place.write_text(
                f"#!/bin/sh\necho {place.name} >> {shlex.quote(str(tmp_path / 'runs'))}\n"
                f'{body}\nexec {shlex.quote(real)} "$@"\n'
            )
            place.chmod(0o755)
        monkeypatch.setattr(ffmpeg_choice, "_bundled_ffmpeg", lambda: str(places[0]))
        return str(places[0]), str(places[1])

    return put


def test_the_pinned_one_is_taken_unless_another_is_much_faster(programs, tmp_path: Path) -> None:
    bundled, system = programs("", "")
    assert choose_ffmpeg() == bundled
    bundled, system = programs(_BUSY, ":")
    assert choose_ffmpeg() == system


def test_what_was_measured_is_remembered_until_a_program_changes(programs, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    programs("", "")
    choose_ffmpeg()
    measured = len(runs.read_text().split())
    choose_ffmpeg()
    assert len(runs.read_text().split()) == measured + 2  # both only asked for their encoders
    programs("", "true")
    choose_ffmpeg()
    assert len(runs.read_text().split()) == 2 * measured + 2
    (tmp_path / "cache" / "apollo-toolkit" / "ffmpeg.json").write_text("broken")
    choose_ffmpeg()
    assert len(runs.read_text().split()) == 3 * measured + 2


def test_one_that_cannot_write_mp3_does_not_count(programs) -> None:
    bundled, system = programs("", "exit 1")
    assert choose_ffmpeg() == bundled
    bundled, system = programs("exit 1", "")
    assert choose_ffmpeg() == system
    programs("exit 1", "exit 1")
    with pytest.raises(ToolError, match=r"bundled: has no MP3 encoder \(libmp3lame\)"):
        choose_ffmpeg()


def test_without_a_place_to_remember_it_is_measured_each_time(
    programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    bundled, _ = programs("", "")
    assert choose_ffmpeg() == bundled


def test_the_named_one_is_taken_unmeasured(programs, monkeypatch: pytest.MonkeyPatch) -> None:
    _, system = programs("", "")
    monkeypatch.setenv("APOLLO_FFMPEG", system)
    assert choose_ffmpeg() == system
    monkeypatch.setenv("APOLLO_FFMPEG", str(shutil.which("true")))
    with pytest.raises(ToolError, match="name another in"):
        choose_ffmpeg()
