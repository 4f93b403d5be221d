"""Files and folders as a user restores them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
import torch
from helpers.bad_audio import KINDS
from helpers.small_networks import loud_network, save_small
from helpers.small_songs import tone
from mutagen.flac import FLAC
from mutagen.id3 import APIC, COMM, TIT2, TPE1, TRCK, TXXX
from mutagen.mp3 import MP3
from typer.testing import CliRunner

from apollo_data.audio.files import decode
from apollo_data.console import Console
from apollo_data.errors import ApolloError, DataError
from apollo_model.checkpoint.formats import load_network
from apollo_model.cli import app
from apollo_model.network.apollo import Apollo
from apollo_model.restore.files import FAILED, RESTORED, SKIPPED, RestoreOptions, restore
from apollo_model.restore.formats import FORMATS, OutputFormat
from apollo_model.restore.pcm import RealTimeWatch
from apollo_model.restore.pipe import restore_pipe
from apollo_model.restore.tags import read_tags

RATE = 44100
PROGRAM = "from apollo_model.cli import main; main()"
FINE_HERE = {"six_channels", "mp3_in_disguise", "vorbis_in_disguise", "integers_as_floats"}
JPEG = b"\xff\xd8\xff\xe0" + bytes(200)


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def sound(seconds: float = 1.0, channels: int = 2, rate: int = RATE) -> np.ndarray:
    return np.repeat(tone("file", seconds, rate), (channels + 1) // 2, 1)[:, :channels]


def dry(form: str = "wav", **more: object) -> RestoreOptions:
    return RestoreOptions(OutputFormat(form), dry_wet=0.0, **more)


def decoded(path: Path, folder: Path) -> np.ndarray:
    decode(path, folder / "check.wav")
    return soundfile.read(folder / "check.wav", dtype="float32", always_2d=True)[0]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["in.wav", "in.mp3"])
def test_length_and_time_are_kept_in_every_format(tmp_path: Path, name: str, form: str) -> None:
    original = sound(1.2345)
    soundfile.write(tmp_path / name, original, RATE)
    out = tmp_path / f"out.{form}"
    report = restore([tmp_path / name], out, loud_network(layers=1), dry(form, keep_rate=True))
    assert [file.status for file in report.files] == [RESTORED], report
    source = decoded(tmp_path / name, tmp_path)
    if form == "ogg":  # ffmpeg itself loses up to 128 samples at the end of some Vorbis files
        found = soundfile.read(out, dtype="float32", always_2d=True)[0]
    else:
        found = decoded(out, tmp_path)
    if form == "opus":  # at 48 kHz, the codec's own
        assert len(found) == round(len(source) * 48000 / RATE)
        return
    assert found.shape == source.shape
    if form in ("wav", "flac", "aiff"):
        assert np.abs(found - source).max() < 2e-7
    else:  # one sample of delay would give 0.46
        assert np.std(found - source) < 0.2 * np.std(source)


@pytest.mark.parametrize(("rate", "channels"), [(192_000, 1), (8000, 2), (48_000, 8), (RATE, 3)])
def test_any_rate_and_channels(tmp_path: Path, rate: int, channels: int) -> None:
    original = sound(0.5, channels, rate) * np.linspace(1, 0.3, channels, dtype=np.float32)
    soundfile.write(tmp_path / "in.wav", original, rate, subtype="FLOAT")
    network = loud_network(True, layers=1)
    restore([tmp_path / "in.wav"], tmp_path / "out", network)
    found, found_rate = soundfile.read(tmp_path / "out/in.wav", always_2d=True)
    assert (found_rate, found.shape) == (RATE, (round(0.5 * RATE), channels))
    kept = dry(keep_rate=True, overwrite=True)
    restore([tmp_path / "in.wav"], tmp_path / "out", network, kept)
    found, found_rate = soundfile.read(tmp_path / "out/in.wav", always_2d=True)
    assert (found_rate, found.shape) == (rate, original.shape)
    if rate <= RATE:
        assert np.abs(found - original)[100:-100].max() < 0.02


def test_one_sample_and_silence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", sound()[:1], RATE)
    soundfile.write(tmp_path / "silence.wav", np.zeros((RATE, 2)), RATE)
    report = restore([tmp_path], tmp_path / "out", loud_network(True, layers=1))
    assert report.count(RESTORED) == 2
    assert soundfile.info(tmp_path / "out/one.wav").frames == 1
    silence, _ = soundfile.read(tmp_path / "out/silence.wav")
    assert silence.shape == (RATE, 2)
    assert np.abs(silence).max() < 1e-3


def test_integer_results_are_scaled_and_float_ones_keep_their_level(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", 12 * sound(), RATE, subtype="FLOAT")
    for form in (OutputFormat("wav"), OutputFormat("wav", "16"), OutputFormat("flac")):
        out = tmp_path / f"{form.container}{form.depth}.{form.container}"
        restore([tmp_path / "loud.wav"], out, loud_network(), RestoreOptions(form, dry_wet=0))
    levels = [
        np.abs(soundfile.read(tmp_path / name)[0]).max()
        for name in ("wavNone.wav", "wav16.wav", "flacNone.flac")
    ]
    assert levels[0] == pytest.approx(np.abs(12 * sound()).max())
    assert levels[0] > 1.5
    assert levels[1:] == pytest.approx([1, 1], abs=1e-4)


def tagged_mp3(path: Path) -> None:
    soundfile.write(path, sound(), RATE)
    tags = MP3(path)
    tags.add_tags()
    for frame in (
        TIT2(encoding=3, text=["Tüne"]),
        TPE1(encoding=3, text=["A", "B"]),
        TRCK(encoding=3, text=["3/12"]),
        COMM(encoding=3, lang="eng", desc="", text=["hello"]),
        TXXX(encoding=3, desc="MusicBrainz Album Id", text=["abc"]),
        TXXX(encoding=3, desc="REPLAYGAIN_TRACK_GAIN", text=["-9 dB"]),
        APIC(encoding=3, mime="image/jpeg", type=3, desc="", data=JPEG),
    ):
        tags.tags.add(frame)
    tags.save()


@pytest.mark.parametrize("form", FORMATS)
def test_tags_and_cover_go_with_the_music(tmp_path: Path, form: str) -> None:
    tagged_mp3(tmp_path / "in.mp3")
    restore([tmp_path / "in.mp3"], tmp_path / f"out.{form}", loud_network(layers=1), dry(form))
    tags = read_tags(tmp_path / f"out.{form}")
    tags.texts.pop("encoder", None)
    assert tags.texts == {
        "title": ["Tüne"],
        "artist": ["A", "B"],
        "tracknumber": ["3/12"],
        "comment": ["hello"],
        "musicbrainz_albumid": ["abc"],
    }
    assert [(art.kind, art.mime, art.data) for art in tags.pictures] == [(3, "image/jpeg", JPEG)]
    assert mutagen.File(tmp_path / f"out.{form}").info.length == pytest.approx(1, abs=0.06)
    if form == "flac":
        assert FLAC(tmp_path / "out.flac")["title"] == ["Tüne"]


def test_a_folder_is_mirrored_and_done_once(tmp_path: Path) -> None:
    album = tmp_path / "in" / "Band" / "album.wav"  # a folder, whatever it is called
    album.mkdir(parents=True)
    soundfile.write(album / "1.wav", sound(0.2), RATE)
    soundfile.write(album / "1.flac", sound(0.2), RATE)
    soundfile.write(album / "2.flac", sound(0.2), RATE)
    (album / "cover.jpg").write_bytes(JPEG)
    network, out = loud_network(True, layers=1), tmp_path / "in" / "restored"
    report = restore([tmp_path / "in"], out, network)
    assert (report.count(RESTORED), report.ignored) == (3, 1)
    place = out / "Band" / "album.wav"
    assert sorted(path.name for path in place.glob("[!.]*")) == [
        "1.flac.wav", "1.wav.wav", "2.wav",
    ]  # fmt: skip
    again = restore([tmp_path / "in"], out, network)
    assert again.count(SKIPPED) == 3
    soundfile.write(album / "2.flac", sound(0.3), RATE)
    (place / "1.wav.wav").unlink()
    changed = restore([tmp_path / "in"], out, network)
    assert (changed.count(RESTORED), changed.count(SKIPPED)) == (2, 1)
    with torch.no_grad():
        network.output[0][1].bias += 1e-3
    other = restore([tmp_path / "in"], out, network)
    assert other.count(RESTORED) == 3


def test_nothing_of_the_users_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(0.2), RATE)
    before = path.read_bytes()
    network = loud_network(layers=1)
    for options in (dry(), dry(overwrite=True)):
        report = restore([path], tmp_path, network, options)
        assert "is an input of this run" in report.files[0].reason
    foreign = tmp_path / "out" / "a.wav"
    foreign.parent.mkdir()
    foreign.write_bytes(b"mine")
    report = restore([path], foreign.parent, network)
    assert "was not made by this command" in report.files[0].reason
    assert (path.read_bytes(), foreign.read_bytes()) == (before, b"mine")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.wav").write_bytes(before)
    with pytest.raises(DataError, match=r"both .* would be written there"):
        restore([path, tmp_path / "b" / "a.wav"], tmp_path / "out", network)


def test_bad_files_are_told_and_the_good_ones_restored(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for kind, write in KINDS.items():
        write(folder / f"{kind}.wav")
    (folder / "url.mp3").write_text("http://127.0.0.1:9/x.mp3\n")
    (folder / "concat.mp3").write_text("ffconcat version 1.0\nfile good.flac\n")
    (folder / "hls.m4a").write_text("#EXTM3U\n#EXTINF:1,\nfile:good.flac\n#EXT-X-ENDLIST\n")
    soundfile.write(folder / "good.flac", sound(0.5), RATE)
    soundfile.write(tmp_path / "whole.mp3", sound(4.0), RATE)
    content = (tmp_path / "whole.mp3").read_bytes()
    (folder / "half.mp3").write_bytes(content[: len(content) // 2])
    checkpoint = save_small(tmp_path / "net.safetensors")
    done = run("restore", folder, "--out", tmp_path / "out", "--checkpoint", checkpoint, "--json")
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)["files"]
    failed = {Path(row["source"]).stem: row["reason"] for row in rows if row["status"] == FAILED}
    good = {Path(row["source"]).stem for row in rows if row["status"] == RESTORED}
    assert good == {"good", "half", *FINE_HERE}
    assert set(failed) == {"url", "concat", "hls", *KINDS} - FINE_HERE - {"a_folder"}
    assert len(failed) >= 20
    assert all(reason and "\n" not in reason for reason in failed.values())
    assert "Traceback" not in done.stderr
    assert "apollo-restore-" not in done.stderr + done.stdout  # files that are not there any more
    assert ".partial" not in done.stderr + done.stdout
    assert "half.mp3: its last" in done.stderr
    written = {path.stem for path in (tmp_path / "out").glob("[!.]*")}
    assert written == good


def test_the_command_ends_with_one_line_on_nonsense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as if it were not installed
    checkpoint = save_small(tmp_path / "net.safetensors")
    soundfile.write(tmp_path / "a.wav", sound(0.2), RATE)
    network = ("--checkpoint", checkpoint)
    for arguments, reason in (
        ((tmp_path / "a.wav", "--out", tmp_path / "o"), "pip install apollo-toolkit[hub]"),
        ((tmp_path / "a.wav", "--out", checkpoint, *network), "expected a folder"),
        ((tmp_path / "a.wav", "--out", "o.mp3", "--depth", "16", *network), "--depth belongs"),
        ((tmp_path / "a.wav", "--out", "o", "--max-memory", "1MB", *network), "is too little"),
    ):
        done = CliRunner().invoke(app, ["restore", *map(str, arguments)])
        assert isinstance(done.exception, ApolloError)
        assert reason in str(done.exception)
        assert "\n" not in str(done.exception)
    missing = CliRunner().invoke(
        app, ["restore", str(tmp_path / "none.wav"), "--out", str(tmp_path), *map(str, network)]
    )
    assert missing.exit_code == 1
    assert "none.wav: no such file" in missing.output


def test_without_a_checkpoint_the_published_one_is_used_as_its_trainer_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = loud_network(layers=1)
    versions = {"torch_version": torch.__version__, "pytorch_lightning_version": "2.4.0"}
    content = {
        "model_name": "Apollo",
        "state_dict": network.state_dict(),
        "model_args": {"n_sample_rate": 2},
        "infos": {"software_versions": versions},  # torch's is an object of its own
    }
    torch.save(content, tmp_path / "pytorch_model.bin")
    asked = []

    def fetch(name: str) -> Path:
        asked.append(name)
        return tmp_path / "pytorch_model.bin"

    monkeypatch.setattr("apollo_model.checkpoint.formats.fetch_checkpoint", fetch)
    soundfile.write(tmp_path / "a.wav", sound(0.2), RATE)
    words = ["restore", str(tmp_path / "a.wav"), "--out", str(tmp_path / "b.wav")]
    done = CliRunner().invoke(app, [*words, "--dtype", "float32"])
    assert (done.exit_code, asked) == (0, ["JusperLee/Apollo"]), done.output
    restore([tmp_path / "a.wav"], tmp_path / "c.wav", network)
    found, expected = (soundfile.read(tmp_path / name)[0] for name in ("b.wav", "c.wav"))
    assert np.abs(found - expected).max() < 1e-6


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_and_can_go_on(tmp_path: Path) -> None:
    checkpoint = save_small(tmp_path / "net.safetensors")
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in/a.wav", sound(0.3), RATE)
    soundfile.write(tmp_path / "in/b.wav", np.tile(sound(20), (20, 1)), RATE)
    call = ["restore", tmp_path / "in", "--out", tmp_path / "out", "--checkpoint", checkpoint]
    command = [sys.executable, "-c", PROGRAM, *map(str, call)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out/a.wav").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {".lock", "a.wav", ".a.wav.apollo.json"}
    (tmp_path / "in/b.wav").unlink()
    again = restore([tmp_path / "in"], tmp_path / "out", load_network(checkpoint))
    assert again.count(FAILED) == 0


def pipe(network: Apollo, data: bytes, channels: int = 2, form: str = "f32le") -> bytes:
    """Send bytes through pipes, in pieces of odd sizes."""
    source, feed = os.pipe()
    drain, sink = os.pipe()

    def write() -> None:
        with os.fdopen(feed, "wb") as out:
            for at in range(0, len(data), 9999):
                out.write(data[at : at + 9999])
                out.flush()

    def work() -> None:
        restore_pipe(network, source, sink, channels, form, Console())
        os.close(sink)

    threads = [threading.Thread(target=task) for task in (write, work)]
    for thread in threads:
        thread.start()
    with os.fdopen(drain, "rb") as out:
        found = out.read()
    for thread in threads:
        thread.join()
    os.close(source)
    return found


def test_a_pipe_equals_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = load_network(save_small(tmp_path / "net.safetensors", causal=True))
    soundfile.write(tmp_path / "a.wav", sound(0.7), RATE, subtype="FLOAT")
    restore([tmp_path / "a.wav"], tmp_path / "b.wav", network)
    expected, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    found = np.frombuffer(pipe(network, sound(0.7).tobytes() + b"odd"), "<f4").reshape(-1, 2)
    assert "the last 3 bytes" in capsys.readouterr().err
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5
    mono = np.round(32767 * sound(0.3)[:, :1]).astype("<i2").tobytes()
    assert len(pipe(network, mono, 1, "s16le")) == len(mono)
    broken = sound(0.3).copy()
    broken[50] = np.nan
    assert np.isfinite(np.frombuffer(pipe(network, broken.tobytes()), "<f4")).all()
    assert "2 NaN or infinite samples" in capsys.readouterr().err


def test_falling_behind_is_noticed() -> None:
    times = iter([0.0, 1.0, 1.0, 3.0, 3.0, 9.5])
    watch = RealTimeWatch(100, lambda: next(times))
    told = []
    for samples in (300, 300, 500):
        watch.begin()
        told.append(watch.end(samples))
    assert told == [None, None, 1.3]


@pytest.mark.slow
def test_the_stream_command_refuses_and_ends_quietly(tmp_path: Path) -> None:
    plain = save_small(tmp_path / "plain.safetensors")
    refused = run("stream", "--checkpoint", plain, stdin=subprocess.DEVNULL)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "not causal" in refused.stderr
    causal = save_small(tmp_path / "causal.safetensors", causal=True)
    command = [sys.executable, "-c", PROGRAM, "stream", "--checkpoint", str(causal)]
    ends = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **ends) as process:
        process.stdout.close()  # the listener has gone
        try:
            process.stdin.write(sound(1.0).tobytes())
            process.stdin.close()
        except BrokenPipeError:
            pass
        told = process.stderr.read()
        assert (process.wait(60), told) == (0, b"")
