from pathlib import Path

import numpy as np
import pytest
import soundfile

from apollo_data.activity.detect import detect as detect_by
from apollo_data.audio.spans import frames_of_spans, spans_of_frames
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings

RATE = 44100
SETTINGS = ActivitySettings(detector="energy")


def detect(files: list[Path], settings: ActivitySettings = SETTINGS) -> tuple[ActiveSpan, ...]:
    return detect_by(files, "other", settings)


def save(path: Path, audio: np.ndarray) -> list[Path]:
    soundfile.write(path, audio, RATE, subtype="FLOAT")
    return [path]


def bursts(seconds: float, spans: list[tuple[float, float]], level: float = 0.2) -> np.ndarray:
    audio = np.zeros((round(seconds * RATE), 2), np.float32)
    sound = np.random.default_rng(0).normal(0, level, audio.shape).astype(np.float32)
    for start, end in spans:
        audio[round(start * RATE) : round(end * RATE)] = sound[: round((end - start) * RATE)]
    return audio


def as_pairs(spans: tuple[ActiveSpan, ...]) -> list[tuple[float, float]]:
    return [(span.start_seconds, span.end_seconds) for span in spans]


@pytest.mark.parametrize("level", [0.2, 0.002])
def test_spans_are_where_the_sound_is_whatever_its_level(tmp_path: Path, level: float) -> None:
    truth = [(1.0, 2.5), (4.0, 9.98), (25.0, 30.0)]  # one across a block, one to the end
    files = save(tmp_path / "a.wav", bursts(30.0, truth, level))
    assert as_pairs(detect(files)) == truth


def test_short_rests_are_bridged_and_short_bursts_dropped(tmp_path: Path) -> None:
    audio = bursts(6.0, [(1.0, 2.0), (2.2, 3.0), (4.0, 4.05)])
    assert as_pairs(detect(save(tmp_path / "a.wav", audio))) == [(1.0, 3.0)]


def test_bleed_and_noise_floor_are_not_activity(tmp_path: Path) -> None:
    audio = bursts(10.0, [(2.0, 6.0)]) + bursts(10.0, [(0.0, 10.0)], level=0.2 * 10 ** (-50 / 20))
    assert as_pairs(detect(save(tmp_path / "a.wav", audio))) == [(2.0, 6.0)]


def test_a_decay_is_followed_down_to_the_lower_threshold(tmp_path: Path) -> None:
    time = np.arange(4 * RATE) / RATE
    decay = (0.5 * 10 ** (-60 * time / 20)) * np.sin(2 * np.pi * 440 * time)  # 60 dB a second
    audio = np.concatenate([bursts(2.0, [(0.0, 2.0)], 0.35), np.stack([decay, decay], 1)])
    (start, end), *others = as_pairs(detect(save(tmp_path / "a.wav", audio)))
    assert not others
    assert start == 0.0
    assert end == pytest.approx(2.0 + 46 / 60, abs=0.05)


def test_silence_has_no_spans(tmp_path: Path) -> None:
    assert detect(save(tmp_path / "a.wav", np.zeros((RATE, 2), np.float32))) == ()
    faint = bursts(2.0, [(0.0, 2.0)], level=1e-4)
    assert detect(save(tmp_path / "b.wav", faint)) == ()


def test_the_sum_of_sources_is_what_counts(tmp_path: Path) -> None:
    first = save(tmp_path / "a.wav", bursts(5.0, [(0.5, 1.5)]))
    second = save(tmp_path / "b.wav", bursts(5.0, [(3.0, 4.5)]))
    assert as_pairs(detect(first + second)) == [(0.5, 1.5), (3.0, 4.5)]


def test_constant_hiss_below_the_music_is_not_activity(tmp_path: Path) -> None:
    truth = [(2.0, 6.0), (9.0, 13.0)]
    rng = np.random.default_rng(5)
    for number, hiss_db in enumerate((-28, -35, -44)):
        hiss = rng.normal(0, 0.2 * 10 ** (hiss_db / 20), (20 * RATE, 2))
        files = save(tmp_path / f"{number}.wav", bursts(20.0, truth) + hiss)
        assert as_pairs(detect(files)) == truth, hiss_db


def test_hiss_does_not_hide_rare_music(tmp_path: Path) -> None:
    truth = [(31.0, 32.0)]  # 2 % of the file: no quantile of all frames could tell its level
    hiss = np.random.default_rng(5).normal(0, 0.002, (50 * RATE, 2))
    files = save(tmp_path / "a.wav", bursts(50.0, truth) + hiss)
    assert as_pairs(detect(files)) == truth


def test_a_quiet_held_chord_is_music_and_not_hiss(tmp_path: Path) -> None:
    time = np.arange(10 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    audio = bursts(10.0, [(6.0, 10.0)]) + 0.2 * 10 ** (-32 / 20) * chord[:, None]
    assert as_pairs(detect(save(tmp_path / "a.wav", audio))) == [(0.0, 10.0)]


def test_steady_noise_that_is_not_below_anything_is_the_music(tmp_path: Path) -> None:
    files = save(tmp_path / "a.wav", bursts(5.0, [(0.0, 5.0)], level=0.01))
    assert as_pairs(detect(files)) == [(0.0, 5.0)]


@pytest.mark.parametrize("samples", [1, 40, 220])
def test_clicks_are_not_activity_and_bridge_no_rest(tmp_path: Path, samples: int) -> None:
    audio = bursts(10.0, [(2.0, 4.0)])
    for second in (0.5, 0.7, 0.9, 4.2, 4.4, 7.0):  # some near one another, some near the music
        audio[round(second * RATE) + 300 :][:samples] = 0.9
    assert as_pairs(detect(save(tmp_path / "a.wav", audio))) == [(2.0, 4.0)]


def test_a_file_of_one_click_is_silent(tmp_path: Path) -> None:
    audio = np.zeros((3 * RATE, 2), np.float32)
    audio[RATE : RATE + 100] = 1.0
    assert detect(save(tmp_path / "a.wav", audio)) == ()


def test_bleed_50_db_below_is_not_activity_even_for_most_of_the_file(tmp_path: Path) -> None:
    drums = np.zeros((40 * RATE, 2), np.float32)
    hit = bursts(0.25, [(0.0, 0.25)]) * np.exp(-np.arange(round(0.25 * RATE)) / 3000)[:, None]
    for beat in range(80):
        drums[beat * RATE // 2 :][: len(hit)] = hit
    scale = 0.2 / np.sqrt(np.mean(hit[:441] ** 2)) * 10 ** (-50 / 20)
    files = save(tmp_path / "a.wav", bursts(40.0, [(20.0, 21.0)]) + scale * drums)
    assert as_pairs(detect(files)) == [(20.0, 21.0)]


def test_spans_keep_time_where_a_frame_is_no_round_number_of_samples(tmp_path: Path) -> None:
    rate = 22050
    audio = np.zeros((200 * rate, 1), np.float32)
    audio[190 * rate : 195 * rate] = np.random.default_rng(0).normal(0, 0.2, (5 * rate, 1))
    soundfile.write(tmp_path / "a.wav", audio, rate)
    ((start, end),) = as_pairs(detect([tmp_path / "a.wav"]))
    assert (start, end) == pytest.approx((190.0, 195.0), abs=0.02)


def test_frames_and_spans_are_inverse() -> None:
    active = np.random.default_rng(3).random(1000) < 0.5
    spans = spans_of_frames(active, 0.01, 0.01, 0.01)
    assert np.array_equal(frames_of_spans(spans, 10.0, 0.01), active.astype(float))
