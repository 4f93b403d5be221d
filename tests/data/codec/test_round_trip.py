import itertools

import numpy as np
import pytest
import scipy.signal
from helpers.signals import RATE, lag_of, music

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.codec.round_trip import mp3_bitrate_kbps, mp3_frames, round_trip
from apollo_data.errors import AudioError, ToolError
from apollo_data.records import Coding
from apollo_data.settings import ALL_BITRATES_KBPS, CodecSettings

SETTINGS = CodecSettings()
CLAMP = CodecSettings(paper_clamp=True)


@pytest.mark.parametrize("settings", [SETTINGS, CLAMP], ids=["honest", "clamp"])
def test_every_bitrate_is_in_time_as_long_and_honest(settings: CodecSettings) -> None:
    codings = [Coding("mp3", float(kbps)) for kbps in ALL_BITRATES_KBPS]
    clips = [music(seed=seed) for seed in range(len(codings))]
    coded = round_trip(clips, codings, RATE, settings)
    for clip, coding, result in zip(clips, codings, coded, strict=True):
        assert result.audio.shape == clip.shape
        assert result.audio.dtype == np.float32
        assert lag_of(result.audio, clip) == 0
        clamped = settings.paper_clamp and coding.requested_kbps == 24
        assert result.actual_kbps == (32 if clamped else coding.requested_kbps)
        error = np.mean((result.audio - clip) ** 2) / np.mean(clip**2)
        assert 1e-5 < error < 0.5


def test_more_bits_give_less_error_and_a_wider_band() -> None:
    clip = music()
    codings = [Coding("mp3", float(kbps)) for kbps in (32, 64, 128)]
    results = [item.audio for item in round_trip([clip] * 3, codings, RATE, SETTINGS)]
    errors = [float(np.mean((audio - clip) ** 2)) for audio in results]
    assert errors == sorted(errors, reverse=True)
    high = [
        scipy.signal.welch(audio[0], RATE, nperseg=4096)[1][900:1100].mean() for audio in results
    ]  # 9.7-11.8 kHz
    assert high[0] < 1e-3 * high[2]


@pytest.mark.parametrize("samples", [132300, 132301, 44100, 4411])
def test_odd_lengths_come_back_as_they_were(samples: int) -> None:
    clip = music(3.1)[:, :samples]
    for result in round_trip([clip, clip], [Coding("mp3", 24), Coding("mp3", 64)], RATE, SETTINGS):
        assert result.audio.shape == (2, samples)
        assert lag_of(result.audio, clip) == 0


def test_levels_above_full_scale_are_not_limited() -> None:
    clip = music()
    for kbps in (24, 64):
        quiet, loud = round_trip(
            [clip, 20 * clip], [Coding("mp3", kbps), Coding("mp3", kbps)], RATE, SETTINGS
        )
        errors = [
            np.mean((item.audio - factor * clip) ** 2) / np.mean((factor * clip) ** 2)
            for item, factor in ((quiet, 1), (loud, 20))
        ]
        assert np.abs(loud.audio).max() > 1.5
        assert 10 * np.log10(errors[1] / errors[0]) == pytest.approx(0.0, abs=1.0)


def test_a_clip_does_not_depend_on_its_company() -> None:
    clips = [music(0.5, seed) for seed in range(40)]  # more than one batch
    kbps = itertools.cycle(ALL_BITRATES_KBPS)
    codings = [Coding("mp3", float(next(kbps))) for _ in clips]
    together = round_trip(clips, codings, RATE, SETTINGS)
    for number in (0, 5, 33):
        (alone,) = round_trip([clips[number]], [codings[number]], RATE, SETTINGS)
        assert np.array_equal(alone.audio, together[number].audio)


def test_nothing_in_gives_nothing() -> None:
    assert round_trip([], [], RATE, SETTINGS) == []


def test_a_hung_or_missing_ffmpeg_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    script = tmp_path_factory.mktemp("bin") / "ffmpeg"
    script.write_text('#!/bin/sh\n[ "$2" = -encoders ] && echo libmp3lame || sleep 60\n')
    script.chmod(0o755)
    find_ffmpeg.cache_clear()
    monkeypatch.setenv("APOLLO_FFMPEG", str(script))
    hasty = CodecSettings(timeout_seconds=0.5)
    with pytest.raises(AudioError, match="took longer than"):
        round_trip([music(0.5)], [Coding("mp3", 64)], RATE, hasty)
    for name, message in (("/nowhere/ffmpeg", "cannot be run"), ("/bin/true", "no MP3 encoder")):
        find_ffmpeg.cache_clear()
        monkeypatch.setenv("APOLLO_FFMPEG", name)
        with pytest.raises(ToolError, match=message):
            find_ffmpeg()
    find_ffmpeg.cache_clear()


def test_frames_are_read_to_the_letter() -> None:
    mpeg1 = bytes.fromhex("fffb9064") + bytes(413)  # 128 kbit/s at 44.1 kHz: 417 bytes
    mpeg2 = bytes.fromhex("fff33064") + bytes(74)  # 24 kbit/s at 22.05 kHz: 78 bytes
    first, second = mp3_frames(mpeg1 + mpeg1)
    assert (first.bitrate_kbps, first.sample_rate, first.samples) == (128, 44100, 1152)
    assert second.offset == 417
    assert mp3_bitrate_kbps(mpeg2 * 3) == 24
    tagged = b"ID3\x04\x00\x00\x00\x00\x01\x02" + bytes(130) + mpeg2 * 2 + b"TAG" + bytes(125)
    assert [frame.bitrate_kbps for frame in mp3_frames(tagged)] == [24, 24]
    with pytest.raises(AudioError, match="no MP3 frame at byte 417"):
        list(mp3_frames(mpeg1 + b"garbage"))
    with pytest.raises(AudioError, match="holds no MP3 frames"):
        mp3_bitrate_kbps(b"")


def spectral_edge(coded: np.ndarray, clean: np.ndarray) -> float:
    """Highest frequency, in hertz, at which the coded sound keeps more than -20 dB of the clean."""
    frequencies, kept = scipy.signal.welch(coded.mean(0), RATE, nperseg=4096)
    _, sent = scipy.signal.welch(clean.mean(0), RATE, nperseg=4096)
    return float(frequencies[np.flatnonzero(kept > 0.01 * sent)[-1]])


@pytest.mark.parametrize(
    ("kbps", "edge_khz"), [(24, 4.2), (32, 5.5), (48, 7.6), (64, 11.1), (96, 15.2), (128, 16.8)]
)
def test_each_bitrate_has_lames_low_pass(kbps: int, edge_khz: float) -> None:
    clip = music()
    (result,) = round_trip([clip], [Coding("mp3", float(kbps))], RATE, CLAMP)
    assert spectral_edge(result.audio, clip) == pytest.approx(1000 * edge_khz, rel=0.05)


def test_lames_other_modes_do_what_they_are_called() -> None:
    clip = music()
    clip[1] = 0.9 * clip[0] + 0.1 * clip[1]
    usual, plain, full, average, low, best, worst = round_trip(
        [clip] * 7,
        [
            Coding("mp3", 64.0),
            Coding("mp3", 64.0, stereo="plain"),
            Coding("mp3", 64.0, lowpass="off"),
            Coding("mp3", 57.3, mode="abr"),
            Coding("mp3", 24.0, mode="abr"),
            Coding("mp3", quality=0.0, mode="vbr"),
            Coding("mp3", quality=9.0, mode="vbr"),
        ],
        RATE,
        SETTINGS,
    )
    assert usual.actual_kbps == plain.actual_kbps == full.actual_kbps == 64
    difference = [np.mean((item.audio - clip) ** 2) for item in (usual, plain)]
    assert difference[0] < 0.9 * difference[1]  # what the channels share is coded once
    assert spectral_edge(usual.audio, clip) < 11500
    assert spectral_edge(full.audio, clip) > 15000
    assert average.actual_kbps == pytest.approx(57.3, rel=0.2)
    assert average.actual_kbps not in (56, 64)
    assert low.actual_kbps == pytest.approx(24, rel=0.2)
    assert best.actual_kbps > 180 > 100 > worst.actual_kbps
    for item in (usual, plain, full, average, low, best, worst):
        assert lag_of(item.audio, clip) == 0
