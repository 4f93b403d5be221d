"""The coding of a file counts, not its container; lengths are those of the sound."""

import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.small_songs import RATE, tone

from apollo_data.audio import streamed
from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.audio.files import probe, read_sound
from apollo_data.audio.scan_file import scan_file
from apollo_data.errors import AudioError
from apollo_data.records import FileFacts
from apollo_data.settings import CatalogSettings


def scan(path: Path) -> FileFacts:
    return scan_file(path, path.parent, CatalogSettings())


@pytest.mark.parametrize(
    ("container", "coding"),
    [
        *(("WAV", coding) for coding in ("MS_ADPCM", "IMA_ADPCM", "ULAW", "ALAW", "GSM610")),
        ("WAV", "MPEG_LAYER_III"),
        ("W64", "ULAW"),
        ("AIFF", "ALAW"),
    ],
)
def test_lossy_codings_in_lossless_containers_are_refused(
    tmp_path: Path, container: str, coding: str
) -> None:
    path = tmp_path / "x.wav"
    if coding == "MPEG_LAYER_III":
        soundfile.write(tmp_path / "y.wav", tone("x", 0.5), RATE)
        command = [find_ffmpeg(), "-v", "error", "-i", str(tmp_path / "y.wav")]
        subprocess.run([*command, "-c:a", "libmp3lame", str(path)], check=True)
    else:
        sound = tone("x", 0.5)[:, :1]
        soundfile.write(path, sound, RATE, format=container, subtype=coding)
    assert "stems are lossless" in (scan(path).problem or "")


@pytest.mark.parametrize("coding", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_lossless_codings_are_fine(tmp_path: Path, coding: str) -> None:
    soundfile.write(tmp_path / "x.wav", tone("x", 0.5), RATE, subtype=coding)
    assert scan(tmp_path / "x.wav").problem is None


def test_a_flac_file_without_a_length_is_read_as_what_it_is(tmp_path: Path) -> None:
    sound = tone("x", 1.5)
    plain, piped = tmp_path / "plain.flac", tmp_path / "piped.flac"
    soundfile.write(plain, sound, RATE)
    command = [find_ffmpeg(), "-v", "error", "-i", str(plain), "-f", "flac", "-"]
    piped.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    with soundfile.SoundFile(piped) as source:
        assert source.frames > 1 << 60
    facts = scan(piped)
    assert (facts.problem, facts.seconds, facts.content) == (None, 1.5, scan(plain).content)
    for start in (0.0, 1.0, 1.4):
        expected = read_sound([plain], start, RATE, RATE)
        assert np.array_equal(read_sound([piped], start, RATE, RATE), expected)
    damaged = bytearray(piped.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 3000] = bytes(3000)
    piped.write_bytes(damaged)
    assert scan(piped).problem


def test_a_decoder_that_hangs_while_it_counts_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.flac", tone("a", 1.0), RATE)
    hanging = tmp_path / "ffmpeg"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(streamed, "find_ffmpeg", lambda: str(hanging))
    monkeypatch.setattr(streamed, "_COUNT_SECONDS", 0.2)
    with pytest.raises(AudioError, match="could not be counted"):
        streamed._count_frames(tmp_path / "a.flac", 2)


@pytest.mark.parametrize("size", [0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFF - 36, 0])
def test_a_wav_file_from_a_pipe_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    path = wav(tmp_path, lambda _there: size)
    facts = scan(path)
    assert (facts.problem, facts.seconds) == (None, 1.0)


def wav(folder: Path, stated, more: bytes = b"") -> Path:
    path = folder / "x.wav"
    soundfile.write(path, tone("x", 1.0), RATE, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    there = len(content) - place - 4
    content[place : place + 4] = struct.pack("<I", stated(there))
    path.write_bytes(bytes(content) + more)
    return path


def test_a_header_that_states_too_little_is_told(tmp_path: Path) -> None:
    assert "more bytes follow" in (scan(wav(tmp_path, lambda there: there // 2)).problem or "")
    assert "is truncated" in (scan(wav(tmp_path, lambda there: there + 8)).problem or "")
    chunks = b"LIST" + struct.pack("<I", 4) + b"INFO" + b"id3 " + struct.pack("<I", 3) + b"abc\0"
    assert scan(wav(tmp_path, lambda there: there, chunks)).problem is None
    assert scan(wav(tmp_path, lambda there: there, bytes(2000))).problem is None


def test_a_wav_file_above_4_gib_is_told(tmp_path: Path) -> None:
    path = wav(tmp_path, lambda there: there)
    os.truncate(path, (1 << 32) + path.stat().st_size)  # sparse: its header wraps around
    assert "cannot state more than 4 GiB" in (scan(path).problem or "")


def test_where_a_spectrum_is_cut_off_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (4 * RATE, 2))
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    for name in ("noise", "once"):
        if name == "once":
            coded = tmp_path / "x.mp3"
            for source, out, more in (
                ("noise.wav", coded, ["-b:a", "128k"]),
                (coded.name, tmp_path / "once.wav", []),
            ):
                command = [find_ffmpeg(), "-v", "error", "-i", str(tmp_path / source)]
                subprocess.run([*command, *more, str(out)], check=True)
        levels = scan(tmp_path / f"{name}.wav").levels
        assert levels
        if name == "noise":
            assert levels.cut_hertz is None
        else:
            assert levels.cut_hertz == pytest.approx(16_500, abs=1000)
    soundfile.write(tmp_path / "tone.wav", tone("x", 4.0), RATE)
    levels = scan(tmp_path / "tone.wav").levels
    assert levels
    assert levels.cut_hertz is None
    assert probe(tmp_path / "tone.wav").frames == 4 * RATE
