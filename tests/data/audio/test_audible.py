"""An offset is no sound: levels, activity and clips look at what can be heard."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.small_songs import RATE, small_settings, tone

from apollo_data.activity.energy import detect
from apollo_data.audio.audible import Highpass, audible_peak
from apollo_data.audio.scan_file import scan_file
from apollo_data.errors import AudioError
from apollo_data.records import Coding, MixRecipe, MixtureClip
from apollo_data.settings import ActivitySettings, CatalogSettings
from apollo_data.shards.clips import make_clips


def with_rest(offset: float, drift: float = 0.0) -> np.ndarray:
    """Six seconds of a chord with a rest from 2.0 to 5.4 s, and what cannot be heard."""
    sound = 0.5 * tone("x", 6.0)
    sound[2 * RATE : round(5.4 * RATE)] = 0.0
    slow = np.sin(2 * np.pi * 0.7 * np.arange(len(sound)) / RATE)[:, None]
    return sound + offset + drift * slow


@pytest.mark.parametrize(("offset", "drift"), [(0.0, 0.0), (0.005, 0.0), (-0.1, 0.0), (0.0, 0.02)])
def test_rests_are_rests_whatever_the_offset(tmp_path: Path, offset: float, drift: float) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, with_rest(offset, drift), RATE, subtype="PCM_24")
    spans = detect([path], "bass", ActivitySettings())
    ends = [(span.start_seconds, span.end_seconds) for span in spans]
    assert len(ends) == 2
    assert ends[0][1] == pytest.approx(2.0, abs=0.1)
    assert ends[1][0] == pytest.approx(5.4, abs=0.1)
    levels = scan_file(path, tmp_path, CatalogSettings()).levels
    assert levels
    assert levels.silent_share == pytest.approx(3.4 / 6, abs=0.12)


def test_blocks_join_without_a_seam() -> None:
    sound = with_rest(0.3).T.astype(np.float32)
    highpass = Highpass(RATE)
    parts = [highpass(sound[:, start : start + 1000]) for start in range(0, sound.shape[1], 1000)]
    assert np.allclose(np.concatenate(parts, axis=1), Highpass(RATE)(sound), atol=1e-6)
    assert np.abs(parts[0][:, 0]).max() < 0.2


def test_a_constant_has_no_audible_peak() -> None:
    assert audible_peak(np.full((2, RATE), 0.7, np.float32), RATE) < 1e-6
    assert audible_peak(0.1 * tone("x", 1.0).T, RATE) > 0.001


def test_a_clip_without_sound_is_no_clip(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.full((2 * RATE, 2), 0.3), RATE, subtype="PCM_24")
    clip = MixtureClip("s", "x.wav", 0.0, 1.0)
    recipe = MixRecipe(0, 0, "train", "multi_stems", (), (Coding("mp3", 128.0),), clip)
    (made,) = make_clips([recipe], tmp_path, tmp_path, small_settings().for_clips())
    assert isinstance(made, AudioError)
    assert str(made) == "the clip is silent"
