"""Containers with several audio tracks, and what a header promises of a length."""

from collections.abc import Sequence
from pathlib import Path

import ffmpeg
import numpy as np
import pytest
import soundfile
from helpers.small_networks import loud_network
from helpers.small_songs import tone

from apollo_data.audio.ffmpeg import run_ffmpeg
from apollo_data.audio.files import decode
from apollo_data.audio.tracks import audio_tracks
from apollo_data.console import Console
from apollo_model.restore import OutputFormat, RestoreOptions, restore
from apollo_model.restore.audio_in import open_audio, promised_seconds, told_seconds
from apollo_model.restore.files import FAILED, RESTORED, FileResult
from apollo_model.restore.tags import read_tags

RATE = 44100
HERTZ = (400, 800, 1200)


def container(path: Path, tracks: int = 3, **options: str) -> Path:
    """Write a container whose audio tracks hold one tone each, of `HERTZ`."""
    sources = []
    for hertz in HERTZ[:tracks]:
        plain = path.with_name(f"{hertz}.wav")
        sound = 0.1 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
        soundfile.write(plain, np.stack([sound, sound], 1), RATE)
        sources.append(ffmpeg.input(str(plain)).audio)
    run_ffmpeg(ffmpeg.output(*sources, str(path), **options), 60)
    return path


def hertz_of(path: Path) -> int:
    sound, rate = soundfile.read(path, always_2d=True)
    return int(np.abs(np.fft.rfft(sound[:, 0], rate)).argmax())


def restored(inputs: Sequence[Path], out: Path, track: int | None = None) -> list[FileResult]:
    options = RestoreOptions(OutputFormat("wav"), dry_wet=0.0, track=track)
    return list(restore(inputs, out, loud_network(layers=1), options, Console()).files)


def test_the_default_track_is_restored_and_the_others_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marked = {"disposition:a:0": "0", "disposition:a:1": "default"}
    names = {"metadata:s:a:0": "language=eng", "metadata:s:a:1": "title=Live (2): x, y"}
    path = container(tmp_path / "film.mkv", acodec="aac", **marked, **names)
    assert [str(track) for track in audio_tracks(path)] == [
        "1 (eng, aac)", "2 (aac, Live (2): x, y)", "3 (aac)",
    ]  # fmt: skip
    (file,) = restored([path], tmp_path / "out.wav")
    assert file.status == RESTORED, file
    assert hertz_of(tmp_path / "out.wav") == HERTZ[1]
    told = capsys.readouterr().err
    assert (
        "film.mkv: has 3 audio tracks; restoring track 2 (aac, Live (2): x, y); --track chooses"
        " another: 1 (eng, aac), 3 (aac)"
    ) in told
    assert "could not be decoded" not in told
    for number in (3, 1):  # another track is another result
        (file,) = restored([path], tmp_path / "out.wav", track=number)
        assert (file.status, hertz_of(tmp_path / "out.wav")) == (RESTORED, HERTZ[number - 1])
    (file,) = restored([path], tmp_path / "none.wav", track=4)
    assert file.status == FAILED
    assert file.reason.startswith("has no audio track 4; it has: 1 (eng, aac), 2 (aac, Live")


@pytest.mark.parametrize("name", ["music.m4a", "stems.mp4", "video.webm", "music.mka", "dvd.ts"])
def test_every_container_with_several_tracks_can_be_restored(tmp_path: Path, name: str) -> None:
    codec = {"webm": "libopus", "ts": "mp2"}.get(name.split(".")[1], "aac")
    (file,) = restored([container(tmp_path / name, 2, acodec=codec)], tmp_path / "out.wav")
    assert file.status == RESTORED, file
    assert hertz_of(tmp_path / "out.wav") == HERTZ[0]


def test_a_file_of_one_track_has_no_second(tmp_path: Path) -> None:
    path = container(tmp_path / "one.mp3", 1)
    wav = tmp_path / f"{HERTZ[0]}.wav"
    for source in (path, wav):
        (file,) = restored([source], tmp_path / "out.wav", track=2)
        assert file.status == FAILED
        assert "has no audio track 2" in file.reason
        (file,) = restored([source], tmp_path / f"{source.stem}.1.wav", track=1)
        assert file.status == RESTORED


def test_decoding_takes_the_default_track_everywhere(tmp_path: Path) -> None:
    path = container(tmp_path / "a.mka", 2, acodec="aac", **{"disposition:a:1": "default"})
    decode(path, tmp_path / "a.wav", track=2)
    assert hertz_of(tmp_path / "a.wav") == HERTZ[1]
    decode(path, tmp_path / "b.wav")
    assert hertz_of(tmp_path / "b.wav") in HERTZ[:2]


def test_an_estimated_length_is_no_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first frames of a quiet beginning have few bits, so the estimate is far too long."""
    noise = np.random.default_rng(0).normal(0, 0.1, (3 * RATE, 2))
    soundfile.write(tmp_path / "a.wav", np.concatenate([np.zeros((RATE, 2)), noise]), RATE)
    source = ffmpeg.input(str(tmp_path / "a.wav"))
    for name, options in (
        ("plain.mp3", {"q:a": "2", "write_xing": "0"}),
        ("headed.mp3", {"q:a": "2"}),
        ("a.aac", {"q:a": "1"}),
        ("a.ac3", {}),
    ):
        run_ffmpeg(source.output(str(tmp_path / name), **options), 60)
    assert told_seconds(tmp_path / "plain.mp3") > 8
    assert promised_seconds(tmp_path / "headed.mp3") == pytest.approx(4, abs=0.1)
    for name in ("plain.mp3", "a.aac", "a.ac3", "nowhere.mp3"):
        assert promised_seconds(tmp_path / name) == 0
    names = ("plain.mp3", "headed.mp3", "a.aac", "a.ac3")
    files = restored([tmp_path / name for name in names], tmp_path / "out")
    assert {file.status for file in files} == {RESTORED}
    assert "could not be decoded" not in capsys.readouterr().err
    content = (tmp_path / "headed.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(content[: len(content) // 2])
    restored([tmp_path / "cut.mp3"], tmp_path / "out")
    assert "cut.mp3: its last" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.mov", "a.3gp", "a.mp4", "a.mkv", "a.m4a"])
def test_notes_of_the_container_are_no_tags(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone("brand", 0.3), RATE)
    source = ffmpeg.input(str(tmp_path / "a.wav"))
    options = {"metadata": "title=Song", "acodec": "aac"}
    run_ffmpeg(source.output(str(tmp_path / name), **options), 60)
    assert read_tags(tmp_path / name).texts in ({"title": ["Song"]}, {})
    if name != "a.3gp":
        assert read_tags(tmp_path / name).texts == {"title": ["Song"]}


def test_a_stream_of_unknown_length_is_read_to_its_end(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", tone("flac", 1.0), RATE)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0  # the number of samples: 36 bits of STREAMINFO
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    audio = open_audio(tmp_path / "a.flac", tmp_path)
    assert audio.info.frames == RATE
