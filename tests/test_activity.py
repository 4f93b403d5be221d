from pathlib import Path

import numpy as np
import pytest
import soundfile

from apollo_data.activity import detect
from apollo_data.audio import files_of
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings
from apollo_data.sources.catalog import read_catalog
from apollo_data.sources.demo import read_truth, write_demo
from apollo_data.spans import frames_of_spans, spans_of_frames

RATE = 44100
SETTINGS = ActivitySettings()


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
    assert as_pairs(detect(files, SETTINGS)) == truth


def test_short_rests_are_bridged_and_short_bursts_dropped(tmp_path: Path) -> None:
    audio = bursts(6.0, [(1.0, 2.0), (2.2, 3.0), (4.0, 4.05)])
    assert as_pairs(detect(save(tmp_path / "a.wav", audio), SETTINGS)) == [(1.0, 3.0)]


def test_bleed_and_noise_floor_are_not_activity(tmp_path: Path) -> None:
    audio = bursts(10.0, [(2.0, 6.0)]) + bursts(10.0, [(0.0, 10.0)], level=0.2 * 10 ** (-50 / 20))
    assert as_pairs(detect(save(tmp_path / "a.wav", audio), SETTINGS)) == [(2.0, 6.0)]


def test_a_decay_is_followed_down_to_the_lower_threshold(tmp_path: Path) -> None:
    time = np.arange(4 * RATE) / RATE
    decay = (0.5 * 10 ** (-60 * time / 20)) * np.sin(2 * np.pi * 440 * time)  # 60 dB a second
    audio = np.concatenate([bursts(2.0, [(0.0, 2.0)], 0.35), np.stack([decay, decay], 1)])
    (start, end), *others = as_pairs(detect(save(tmp_path / "a.wav", audio), SETTINGS))
    assert not others
    assert start == 0.0
    assert end == pytest.approx(2.0 + 46 / 60, abs=0.05)


def test_silence_has_no_spans(tmp_path: Path) -> None:
    assert detect(save(tmp_path / "a.wav", np.zeros((RATE, 2), np.float32)), SETTINGS) == ()
    faint = bursts(2.0, [(0.0, 2.0)], level=1e-4)
    assert detect(save(tmp_path / "b.wav", faint), SETTINGS) == ()


def test_the_sum_of_sources_is_what_counts(tmp_path: Path) -> None:
    first = save(tmp_path / "a.wav", bursts(5.0, [(0.5, 1.5)]))
    second = save(tmp_path / "b.wav", bursts(5.0, [(3.0, 4.5)]))
    assert as_pairs(detect(first + second, SETTINGS)) == [(0.5, 1.5), (3.0, 4.5)]


def test_the_demo_songs_true_spans_are_found(tmp_path: Path) -> None:
    write_demo(tmp_path, songs=2, seconds=12.0, seed=11)
    counts = np.zeros(3)
    for track in read_catalog(tmp_path).tracks:
        for stem in track.stems:
            files = files_of(tmp_path, stem.path, stem.sources)
            song = next(
                folder
                for folder in files[0].parents
                if (folder / "data.json").exists() or (folder / "mixture.wav").exists()
            )
            truth = [ActiveSpan(*span) for span in read_truth(song)[stem.stem_class]]
            true, found = (
                frames_of_spans(spans, stem.seconds, 0.01) > 0.5
                for spans in (truth, detect(files, SETTINGS))
            )
            counts += [(true & found).sum(), (~true & found).sum(), (true & ~found).sum()]
    hits, false_alarms, misses = counts
    assert hits > 10_000
    assert 2 * hits / (2 * hits + false_alarms + misses) > 0.98


def test_frames_and_spans_are_inverse() -> None:
    active = np.random.default_rng(3).random(1000) < 0.5
    spans = spans_of_frames(active, 0.01, 0.01, 0.01)
    assert np.array_equal(frames_of_spans(spans, 10.0, 0.01), active.astype(float))
