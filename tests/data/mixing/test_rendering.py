"""Rendering of recipes on sound: each option does what it says, and no more."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
from helpers.small_songs import RATE, tone

from apollo_data.audio.ffmpeg import find_ffmpeg
from apollo_data.audio.files import write_wav
from apollo_data.mixing import MAX_LIFT_DB, render
from apollo_data.records import MixRecipe, StemClip

QUIET = 10 ** (-30 / 20)


@pytest.fixture(scope="module")
def stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stems of unequal channels at several levels; read only."""
    folder = tmp_path_factory.mktemp("stems")
    sound = tone("stem", seconds=3.0).T
    sound[1] *= 0.25
    levels = {"plain": 1.0, "soft": QUIET, "faint": 1e-4, "silent": 0.0}
    for name, level in levels.items():
        write_wav(folder / f"{name}.wav", sound * np.float32(level), RATE, "FLOAT")
    write_wav(folder / "centred.wav", sound[[0, 0]], RATE, "FLOAT")
    return folder


def clip(name: str = "plain", **fields: object) -> StemClip:
    return StemClip(
        **{  # type: ignore[arg-type]
            "song": "s",
            "stem_class": "bass",
            "path": f"{name}.wav",
            "start_seconds": 0.0,
            "seconds": 2.0,
            "gain_db": 0.0,
            **fields,
        }
    )


def rendered(folder: Path, *clips: StemClip) -> np.ndarray:
    return render(MixRecipe(0, 0, "train", "single_stem", clips, ()), folder, RATE)


def loudness(audio: np.ndarray) -> float:
    return float(pyloudnorm.Meter(RATE).integrated_loudness(audio.T.astype(np.float64)))


def power(audio: np.ndarray) -> float:
    return float(np.square(audio.astype(np.float64)).sum())


def test_polarity_and_channel_order_turn_about_what_they_say(stems: Path) -> None:
    plain = rendered(stems, clip())
    assert np.array_equal(rendered(stems, clip(inverted=True)), -plain)
    assert np.array_equal(rendered(stems, clip(swapped=True)), plain[::-1])
    assert not np.array_equal(plain, plain[::-1])


@pytest.mark.parametrize("pan", [-1.0, -0.3, 0.0, 0.6, 1.0])
def test_panning_keeps_the_power_of_any_stem_and_places_a_centred_one(
    stems: Path, pan: float
) -> None:
    plain, turned = rendered(stems, clip()), rendered(stems, clip(pan=pan))
    assert power(turned) == pytest.approx(power(plain), rel=1e-6)
    left, right = rendered(stems, clip("centred", pan=pan))
    middle = rendered(stems, clip("centred"))[0]
    place = (pan + 1) * np.pi / 4
    assert np.abs(left - np.sqrt(2) * np.cos(place) * middle).max() < 1e-6
    assert np.abs(right - np.sqrt(2) * np.sin(place) * middle).max() < 1e-6


def test_stems_are_swapped_then_panned_then_inverted(stems: Path) -> None:
    plain = rendered(stems, clip())
    left, right = rendered(stems, clip(swapped=True, pan=1.0, inverted=True))
    half = np.sqrt(np.float32(0.5))
    assert np.abs(left - half * (plain[0] - plain[1])).max() < 1e-6
    assert np.abs(right + half * (plain[1] + plain[0])).max() < 1e-6


@pytest.mark.parametrize("name", ["plain", "soft", "centred"])
@pytest.mark.parametrize("gain_db", [0.0, -7.5])
def test_loudness_is_reached_before_the_gain(stems: Path, name: str, gain_db: float) -> None:
    audio = rendered(stems, clip(name, normalise_lufs=-27.0, gain_db=gain_db))
    assert loudness(audio) == pytest.approx(-27.0 + gain_db, abs=0.1)
    plain = rendered(stems, clip(name))
    assert np.abs(audio * (plain.std() / audio.std()) - plain).max() < 1e-6


def test_ffmpegs_meter_agrees(stems: Path, tmp_path: Path) -> None:
    audio = rendered(stems, clip("soft", normalise_lufs=-27.0, seconds=3.0))
    soundfile.write(tmp_path / "x.wav", audio.T, RATE, subtype="FLOAT")
    command = [find_ffmpeg(), "-nostats", "-i", tmp_path / "x.wav", "-af", "ebur128", "-f", "null"]
    shown = subprocess.run([*command, "-"], capture_output=True, text=True, timeout=60).stderr
    assert float(re.findall(r"I:\s+(-[\d.]+) LUFS", shown)[-1]) == pytest.approx(-27.0, abs=0.15)


def test_a_clip_too_quiet_to_be_measured_gets_the_greatest_lift_and_no_more(stems: Path) -> None:
    plain = rendered(stems, clip("faint"))
    lifted = rendered(stems, clip("faint", normalise_lufs=-14.0))
    assert 20 * np.log10(lifted.std() / plain.std()) == pytest.approx(MAX_LIFT_DB, abs=1e-3)
    soft = rendered(stems, clip("soft", normalise_lufs=0.0))
    gained = 20 * np.log10(soft.std() / rendered(stems, clip("soft")).std())
    assert gained == pytest.approx(MAX_LIFT_DB, abs=1e-3)
    assert not rendered(stems, clip("silent", normalise_lufs=-14.0)).any()


def test_loud_mixes_are_neither_limited_nor_clipped(stems: Path) -> None:
    plain = rendered(stems, clip())
    loud = rendered(stems, clip(gain_db=20.0), clip(gain_db=20.0, swapped=True))
    assert np.abs(loud).max() > 1.5
    assert np.abs(loud - 10 * (plain + plain[::-1])).max() < 1e-5
