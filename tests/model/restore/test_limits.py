"""Many channels, files above 4 GB, full disks, and what is said meanwhile."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.small_networks import loud_network, save_small
from helpers.small_songs import tone

from apollo_data import console as console_module
from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.audio.files import decode
from apollo_data.console import Console
from apollo_model.restore.files import FAILED, RESTORED, RestoreOptions, restore
from apollo_model.restore.formats import FORMATS, OutputFormat

RATE = 44100


def tones(channels: int) -> np.ndarray:
    """Each channel its own tone, low enough for a channel of effects: 60 Hz, 85 Hz and so on."""
    time = np.arange(RATE) / RATE
    return np.stack([0.1 * np.sin(2 * np.pi * (60 + 25 * n) * time) for n in range(channels)], 1)


def heard(path: Path, folder: Path) -> list[int]:
    """Return which tone each channel of a file carries."""
    decode(path, folder / "check.wav")
    sound, rate = soundfile.read(folder / "check.wav", always_2d=True)
    spectrum = np.abs(np.fft.rfft(sound, rate, axis=0))  # a bin per hertz
    return [round((int(spectrum[:, n].argmax()) - 60) / 25) for n in range(sound.shape[1])]


def dry(form: str) -> RestoreOptions:
    return RestoreOptions(OutputFormat(form), dry_wet=0.0)


@pytest.mark.parametrize("channels", range(1, 9))
def test_each_channel_stays_where_it_was(tmp_path: Path, channels: int) -> None:
    name = "in.flac" if channels % 2 else "in.wav"
    soundfile.write(tmp_path / name, tones(channels), RATE)
    for form in FORMATS:
        out = tmp_path / f"out.{form}"
        report = restore([tmp_path / name], out, loud_network(layers=1), dry(form))
        (file,) = report.files
        if (form == "opus" and channels in (5, 7)) or (form == "m4a" and channels == 7):
            assert "channels, which ffmpeg would mix up in" in file.reason
            assert "use --format flac" in file.reason
        elif form == "mp3" and channels > 2:
            assert file.reason == f"has {channels} channels, MP3 holds 2; use --format wav"
            assert not out.exists()
        else:
            assert file.status == RESTORED, file
            assert heard(out, tmp_path) == list(range(channels))


def test_a_file_above_the_limit_of_wav_is_rf64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("apollo_model.restore.audio_out._MAX_WAV_BYTES", 100_000)
    soundfile.write(tmp_path / "a.wav", tone("long", 1.0), RATE)
    for depth in (None, "16"):
        out = tmp_path / f"{depth}.wav"
        options = RestoreOptions(OutputFormat("wav", depth), dry_wet=0.0)
        report = restore([tmp_path / "a.wav"], out, loud_network(layers=1), options, Console())
        assert report.count(RESTORED) == 1
        assert out.read_bytes()[:4] == b"RF64"
        assert "is larger than 4 GB, so it carries no tags" in capsys.readouterr().err
        found, _ = soundfile.read(out, always_2d=True)
        np.testing.assert_allclose(found, soundfile.read(tmp_path / "a.wav")[0], atol=1e-4)
        assert heard(out, tmp_path)


def test_too_little_room_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", tone("long", 1.0), RATE)
    monkeypatch.setattr("apollo_model.restore.files._DISK_MARGIN_BYTES", 1 << 60)
    monkeypatch.setattr("apollo_model.restore.files.restore_blocks", None)  # not even begun
    report = restore([tmp_path / "a.wav"], tmp_path / "out", loud_network(layers=1))
    (file,) = report.files
    assert file.status == FAILED
    assert "GB free; make room, or name another folder" in file.reason
    assert not list((tmp_path / "out").glob("[!.]*"))


def can_mount() -> bool:
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=1m", "t", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10).returncode == 0
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="no small disk can be mounted here")
@pytest.mark.parametrize("form", ["wav", "flac", "mp3", "opus"])
def test_a_disk_that_gets_full_is_one_line_and_no_file(tmp_path: Path, form: str) -> None:
    """The result is larger than was thought, or others write beside it."""
    soundfile.write(tmp_path / "a.wav", tone("full", 4.0), RATE)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from helpers.small_networks import loud_network\n"
        "from apollo_model.restore import files\n"
        "from apollo_model.restore.formats import FORMATS, OutputFormat\n"
        "files.require_free_space = lambda *needed: None\n"
        "options = files.RestoreOptions(OutputFormat(sys.argv[3]), dry_wet=0)\n"
        "source, out = map(Path, sys.argv[1:3])\n"
        "print(files.restore([source], out, loud_network(layers=1), options).files[0].reason)\n"
        "print(*out.glob('*'))\n"
    )
    mount = 'mount -t tmpfs -o size=32k t /mnt && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", sys.executable, "-c", program]
    command += [str(tmp_path / "a.wav"), "/mnt", form]
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=paths)
    assert done.stdout == (
        "/mnt: no space left on device; make room, or name another folder (--out, $TMPDIR)\n"
        "/mnt/.lock\n"
    ), done.stderr


def test_many_small_files_are_few_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for number in range(30):
        soundfile.write(tmp_path / f"in/{number}.wav", np.full(10, 3.0), RATE, subtype="FLOAT")
    report = restore(
        [tmp_path / "in"], tmp_path / "out", loud_network(layers=1), dry("flac"), Console()
    )
    assert report.count(RESTORED) == 30
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert lines[-1] == "25 more results are softer, by up to 9.54 dB"
    assert [line for line in lines if "30/30 s" in line]


def test_plain_progress_tells_the_time_left_and_the_end_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(console_module.time, "monotonic", lambda: now)
    with Console().progress("restore", 7200, "s") as advance:
        for _ in range(720):
            now += 1.0
            advance(10)
        advance(0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "restore: 50/7200 s, 10.0/s, 11:55 left"
    assert lines[-1] == "restore: 7200/7200 s, 10.0/s"
    assert len(lines) < 60
    now = 0.0
    with Console().progress("restore", 100, "s") as advance:
        now = 60.0  # decoding, or whatever came first
        advance(1)
        for _ in range(4):
            now += 5.0
            advance(10)
    assert capsys.readouterr().err.splitlines()[-1] == "restore: 41/100 s, 2.0/s, 0:30 left"


@pytest.mark.slow
def test_the_documented_line_of_pipes(tmp_path: Path) -> None:
    """Ffmpeg to the command to a player, with ffmpeg itself as the player; and one that leaves."""
    checkpoint = save_small(tmp_path / "causal.safetensors", causal=True)
    soundfile.write(tmp_path / "radio.mp3", tone("radio", 2.0), RATE)
    decode(tmp_path / "radio.mp3", tmp_path / "radio.wav")
    ffmpeg = f'"{find_ffmpeg()}" -v error'
    stream = f'"{sys.executable}" -c "from apollo_model.cli import main; main()" stream'
    stream += f" --checkpoint {checkpoint}"

    def shell(line: str) -> tuple[int, str, str]:
        command = ["bash", "-c", f"set -o pipefail; {line}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
        return done.returncode, done.stdout, done.stderr

    radio = f"{ffmpeg} -i radio.mp3 -f f32le -ac 2 -ar 44100 -"
    player = f"{ffmpeg} -f f32le -ch_layout stereo -ar 44100 -i - played.wav"
    assert shell(f"{radio} | {stream} | {player}") == (0, "", "")
    assert soundfile.info(tmp_path / "played.wav").frames == (
        soundfile.info(tmp_path / "radio.wav").frames
    )
    short = radio.replace("f32le", "s16le") + " 2>/dev/null"
    left = f"{short} | {stream} --format s16le | head -c 1000 | wc -c; echo ${{PIPESTATUS[1]}}"
    code, told, errors = shell(left)
    assert (code, told.split(), errors) == (0, ["1000", "0"], "")
    assert shell(f"{stream} < /dev/null") == (0, "", "")
