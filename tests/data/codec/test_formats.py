"""AAC, Opus and Vorbis beside MP3: in time, as long as they were, honest about their bitrate."""

import os
import shlex
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.signals import RATE, lag_of, music
from helpers.small_songs import small_settings

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.codec.delay import delay_samples
from apollo_data.codec.formats import coded_rate
from apollo_data.codec.mp4 import mp4_bitrate_kbps
from apollo_data.codec.ogg import ogg_bitrate_kbps
from apollo_data.codec.round_trip import CodedClip, require_encoders, round_trip
from apollo_data.console import Console
from apollo_data.errors import AudioError, ToolError
from apollo_data.pipeline import build_h5
from apollo_data.records import Coding
from apollo_data.settings import CodecSettings, CodecVariant
from apollo_data.workspace.folder import WorkFolder

QUIET = Console(quiet=True)
SETTINGS = CodecSettings()
CODECS = ("mp3", "aac", "opus", "vorbis")
RANGES = {
    codec: CodecVariant(codec=codec, bitrate_range_kbps=(48.0 if codec == "vorbis" else 32.0, 128))
    for codec in CODECS
}


@pytest.fixture
def fake_ffmpeg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that puts a shell script in ffmpeg's place; $REAL in it is the real one."""
    real = find_ffmpeg()

    def put(body: str) -> Path:
        script = tmp_path / "ffmpeg"
        script.write_text(f"#!/bin/sh\nREAL={shlex.quote(real)}\n{body}\n")
        script.chmod(0o755)
        find_ffmpeg.cache_clear()
        monkeypatch.setenv("APOLLO_FFMPEG", str(script))
        return script

    yield put
    find_ffmpeg.cache_clear()


def aligned(codec: str, count: int) -> list[tuple[Coding, CodedClip]]:
    """Send random clips of random lengths through random bitrates and check time and length."""
    rng = np.random.default_rng(CODECS.index(codec))
    clips = [music(float(rng.uniform(0.4, 1.2)), seed) for seed in range(count)]
    codings = [RANGES[codec].draw(rng) for _ in clips]
    results = round_trip(clips, codings, RATE, SETTINGS)
    for clip, coding, result in zip(clips, codings, results, strict=True):
        assert result.audio.shape == clip.shape
        assert result.audio.dtype == np.float32
        assert lag_of(result.audio, clip) == 0, coding.label
    return list(zip(codings, results, strict=True))


@pytest.mark.parametrize("codec", CODECS)
def test_clips_are_in_time_and_as_long_as_they_were(codec: str) -> None:
    pairs = aligned(codec, 12)
    for coding, result in pairs:
        rel = 0 if codec == "mp3" else 0.25
        assert result.actual_kbps == pytest.approx(coding.requested_kbps, rel=rel)


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_a_hundred_clips_are_in_time_and_as_long_as_they_were(codec: str) -> None:
    asked, true = np.array(
        [(coding.requested_kbps, result.actual_kbps) for coding, result in aligned(codec, 100)]
    ).T
    assert len(set(asked)) > (6 if codec == "mp3" else 60)
    assert np.corrcoef(asked, true)[0, 1] > 0.97


def test_bitrates_are_those_that_were_asked_for() -> None:
    clips = [music(3.0)] * 9
    codings = [
        *(Coding("aac", kbps) for kbps in (24.0, 64.0, 128.0)),
        *(Coding("opus", kbps, mode="cbr") for kbps in (24.0, 64.0, 128.0)),
        *(Coding("vorbis", kbps) for kbps in (48.0, 64.0, 128.0)),
    ]
    for coding, result in zip(codings, round_trip(clips, codings, RATE, SETTINGS), strict=True):
        rel = 0.1 if coding.codec == "vorbis" else 0.02
        assert result.actual_kbps == pytest.approx(coding.requested_kbps, rel=rel), coding.label


@pytest.mark.parametrize("codec", ["aac", "vorbis"])
def test_better_quality_takes_more_bits_and_gives_less_error(codec: str) -> None:
    qualities = {"aac": (0.2, 1.0, 2.0), "vorbis": (0.0, 4.0, 9.0)}[codec]
    clip = music()
    results = round_trip(
        [clip] * 3, [Coding(codec, quality=q, mode="vbr") for q in qualities], RATE, SETTINGS
    )
    kbps = [result.actual_kbps for result in results]
    errors = [float(np.mean((result.audio - clip) ** 2)) for result in results]
    assert kbps == sorted(set(kbps))
    assert errors == sorted(set(errors), reverse=True)


def test_a_cascade_is_one_codec_after_the_other() -> None:
    clip = music()
    first, second = Coding("mp3", 64.0), Coding("aac", 96.0)
    cascade = Coding("mp3", 64.0, then=(second, Coding("mp3", 24.0)))
    both = Coding("mp3", 64.0, then=(second,))
    alone, two, three = round_trip([clip] * 3, [first, both, cascade], RATE, SETTINGS)
    (again,) = round_trip([alone.audio], [second], RATE, SETTINGS)
    assert np.array_equal(again.audio, two.audio)
    assert two.actual_kbps == again.actual_kbps == pytest.approx(96, rel=0.03)
    assert three.actual_kbps == 24
    errors = [float(np.mean((item.audio - clip) ** 2)) for item in (alone, two, three)]
    assert errors == sorted(errors)
    assert all(lag_of(item.audio, clip) == 0 for item in (alone, two, three))


@pytest.mark.parametrize("codec", CODECS)
def test_short_silent_mono_loud_and_odd_clips(codec: str) -> None:
    voice = music(0.5)
    mono = np.repeat(voice[:1], 2, 0)
    silence = np.zeros((2, 22050), np.float32)
    clips = [music(0.1), silence, mono, voice, 20 * voice, voice[:, :4411], voice[:, :22049]]
    coding = Coding(codec, 96.0)
    results = round_trip(clips, [coding] * len(clips), RATE, SETTINGS)
    for clip, result in zip(clips, results, strict=True):
        assert result.audio.shape == clip.shape
        assert np.isfinite(result.audio).all()
        assert 0 < result.actual_kbps < 260
    assert np.abs(results[1].audio).max() < 1e-3
    assert lag_of(results[0].audio, clips[0]) == lag_of(results[5].audio, clips[5]) == 0
    left, right = results[2].audio
    assert np.corrcoef(left, right)[0, 1] > 0.9  # AAC's noise substitution is not mono
    errors = [
        float(np.mean((result.audio - clip) ** 2) / np.mean(clip**2))
        for clip, result in zip(clips[3:5], results[3:5], strict=True)
    ]
    assert np.abs(results[4].audio).max() > 1.5
    assert 10 * np.log10(errors[1] / errors[0]) == pytest.approx(0.0, abs=1.5)


@pytest.mark.parametrize("codec", CODECS)
def test_the_edges_are_no_worse_than_the_middle(codec: str) -> None:
    clip = music(1.0)
    (result,) = round_trip([clip], [Coding(codec, 128.0)], RATE, SETTINGS)
    error = np.mean((result.audio - clip) ** 2, axis=0)
    level = np.mean(clip**2, axis=0)
    middle = error[5000:-5000].mean() / level[5000:-5000].mean()
    for edge in (slice(0, 500), slice(-500, None)):
        assert error[edge].mean() / level[edge].mean() < 3 * middle


def test_a_batch_of_all_codecs_gives_what_each_gives_alone() -> None:
    clips = [music(0.4, seed) for seed in range(8)]
    codings = [Coding(codec, 64.0) for codec in CODECS] * 2
    together = round_trip(clips, codings, RATE, SETTINGS)
    for place in (4, 5, 6, 7):
        (alone,) = round_trip([clips[place]], [codings[place]], RATE, SETTINGS)
        assert np.array_equal(alone.audio, together[place].audio)
        assert alone.actual_kbps == together[place].actual_kbps


# An ffmpeg that does not heed the containers' priming information.
_DEAF = """
case "$*" in *pcm_f32le*)
  n=$#
  while [ $n -gt 0 ]; do
    a=$1; shift; n=$((n-1))
    if [ "$a" = -i ]; then set -- "$@" -flags2 +skip_manual -i; else set -- "$@" "$a"; fi
  done;;
esac
exec "$REAL" "$@"
"""


def test_a_decoder_that_leaves_the_delay_in_is_measured_and_corrected(fake_ffmpeg) -> None:
    codings = [Coding("mp3", 24.0), *(Coding(codec, 64.0) for codec in CODECS)]
    clips = [music(0.5, seed) for seed in range(len(codings))]
    rates = [coded_rate(coding, RATE, paper_clamp=False) for coding in codings]
    assert {22050, 44100, 48000} <= set(rates)
    right = round_trip(clips, codings, RATE, SETTINGS)
    delays = [
        delay_samples(coding.codec, rate, find_ffmpeg(), 60.0)
        for coding, rate in zip(codings, rates, strict=True)
    ]
    assert delays == [0] * len(codings)
    script = fake_ffmpeg(_DEAF)
    left = round_trip(clips, codings, RATE, SETTINGS)
    for first, second in zip(right, left, strict=True):
        assert np.array_equal(first.audio, second.audio)
    assert delay_samples("mp3", 44100, str(script), SETTINGS.timeout_seconds) == 1105
    assert delay_samples("aac", 44100, str(script), SETTINGS.timeout_seconds) == 1024


def test_a_decoder_that_gives_something_else_is_refused(fake_ffmpeg) -> None:
    for size, error, message in (
        ('"$(stat -c %s "$a")"', ToolError, r"likeness of 0\.00, expected"),
        ("176392", AudioError, "aac 96 gave 22049 samples for 26460"),
    ):
        fake_ffmpeg(
            'case "$*" in *pcm_f32le*) for a in "$@"; do case "$a" in *.f32) '
            f'head -c {size} /dev/zero > "$a";; esac; done;; *) exec "$REAL" "$@";; esac'
        )
        with pytest.raises(error, match=message):
            round_trip([music(0.5)], [Coding("aac", 64.0)], RATE, SETTINGS)


def test_a_process_that_was_killed_gets_a_second_chance(fake_ffmpeg, tmp_path: Path) -> None:
    mark = shlex.quote(os.fspath(tmp_path / "mark"))
    fake_ffmpeg(
        f'case "$*" in *pcm_f32le*) [ -e {mark} ] || {{ touch {mark}; kill -9 $$; }};; esac\n'
        'exec "$REAL" "$@"'
    )
    (result,) = round_trip([music(0.5)], [Coding("mp3", 64.0)], RATE, SETTINGS)
    assert result.audio.shape == (2, 22050)
    assert (tmp_path / "mark").exists()


def test_a_missing_encoder_ends_the_build_before_it_begins(
    fake_ffmpeg, songs: Path, tmp_path: Path
) -> None:
    script = fake_ffmpeg(
        'case "$*" in *-encoders*) "$REAL" "$@" | grep -v " aac ";; *) exec "$REAL" "$@";; esac'
    )
    require_encoders(["mp3", "opus", "vorbis"])
    settings = small_settings(codec={"variants": [{"codec": "aac", "bitrates_kbps": [64]}]})
    with pytest.raises(ToolError, match="has no encoder aac, which codec 'aac' needs") as caught:
        build_h5(songs, WorkFolder.at(tmp_path / "out"), settings, 1, QUIET)
    assert str(script) in str(caught.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ToolError, match="'wma' is unknown"):
        round_trip([music(0.1)], [Coding("wma", 64.0)], RATE, SETTINGS)


def ogg_page(granule: int, *packets: bytes) -> bytes:
    lacing = b"".join(
        b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets
    )
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, 0, granule, 1, 0, 0, len(lacing))
    return head + lacing + b"".join(packets)


def test_ogg_packets_are_counted_to_the_byte() -> None:
    opus = ogg_page(0, b"OpusHead" + bytes(11)) + ogg_page(0, b"OpusTags" + bytes(500))
    assert ogg_bitrate_kbps(opus + ogg_page(48000, bytes(255), bytes(745))) == 8.0
    vorbis = ogg_page(0, b"\x01vorbis" + bytes(5) + struct.pack("<I", 44100) + bytes(14))
    vorbis += ogg_page(0, b"\x03vorbis", b"\x05vorbis" + bytes(4000))
    assert ogg_bitrate_kbps(vorbis + ogg_page(22050, bytes(500))) == 8.0
    for broken, message in (
        (b"", "neither Opus nor Vorbis"),
        (opus, "no audio packets"),
        (opus + b"OggX" + bytes(40), "no Ogg page at byte"),
        (opus[:-3], "ends within the Ogg page"),
    ):
        with pytest.raises(AudioError, match=message):
            ogg_bitrate_kbps(broken)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_mp4_frames_are_counted_to_the_byte() -> None:
    mdhd = box(b"mdhd", struct.pack(">IIIII", 0, 0, 0, 44100, 0))
    stsz = box(b"stsz", struct.pack(">IIIII", 0, 0, 2, 100, 300))
    track = mdhd + box(b"minf", box(b"stbl", stsz))
    whole = box(b"mdat", bytes(400)) + box(b"moov", box(b"trak", box(b"mdia", track)))
    assert mp4_bitrate_kbps(whole) == pytest.approx(400 * 8 * 44.1 / 2048)
    for broken, message in ((b"", "no MP4 file"), (whole[:-9], "no whole MP4 box at byte 408")):
        with pytest.raises(AudioError, match=message):
            mp4_bitrate_kbps(broken)
