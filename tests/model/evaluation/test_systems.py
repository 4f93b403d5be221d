import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.signals import music
from helpers.small_networks import save_small

from apollo_data.errors import DataError, SettingsError
from apollo_model.evaluation.pairs import PairList, list_pairs, read_pair
from apollo_model.evaluation.systems import SystemFailure, choose_systems
from apollo_model.evaluation.systems.baselines import copy_up
from apollo_model.evaluation.systems.command import CommandSystem
from apollo_model.evaluation.systems.delivery import fitted, lag_of
from apollo_model.evaluation.systems.folder import FolderSystem

RATE = 44100
NEARLY = {"atol": 2e-4}


@pytest.fixture(scope="module")
def pairs(second_shards: Path) -> PairList:
    return list_pairs(second_shards)


@pytest.fixture(scope="module")
def restored(pairs: PairList, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The coded clips as a program would give them back, under the names of the export."""
    folder = tmp_path_factory.mktemp("restored")
    for pair in pairs.pairs:
        soundfile.write(folder / f"{pair.name}.wav", read_pair(pair)[0].T, RATE, "FLOAT")
    return folder


@pytest.mark.parametrize("lag", [1, -1, 7, 1105, -2257, 20000])
@pytest.mark.parametrize("kind", ["same", "quiet", "noisy", "inverted"])
def test_a_shift_is_found_to_the_sample(lag: int, kind: str) -> None:
    coded = music(1.5)
    other = music(1.5, seed=1)
    change = {
        "same": coded,
        "quiet": 0.1 * coded,
        "noisy": coded + 0.3 * other,
        "inverted": -coded,
    }[kind]
    late = np.zeros_like(coded)
    late[:, max(0, lag) : late.shape[1] + min(0, lag)] = change[
        :, max(0, -lag) : change.shape[1] - max(0, lag)
    ]
    assert lag_of(late.mean(0), coded.mean(0), RATE) == lag
    assert lag_of(change.mean(0), coded.mean(0), RATE) == 0


def test_noise_and_silence_have_no_lag() -> None:
    coded = music(1.0)
    assert lag_of(music(1.0, seed=9).mean(0), coded.mean(0), RATE) == 0
    assert lag_of(0 * coded.mean(0), coded.mean(0), RATE) == 0


def test_what_is_wrong_with_a_result_is_told_and_it_is_scored_as_it_is() -> None:
    coded = music(1.0)
    late = np.concatenate((np.zeros((2, 1105), np.float32), coded[:, :-1105]), 1)
    result = fitted(late, RATE, coded, RATE, align=False)
    assert (result.lag, result.remarks) == (1105, ("late by 1105 samples",))
    assert np.array_equal(result.audio, late)
    moved = fitted(late, RATE, coded, RATE, align=True)
    assert np.allclose(moved.audio[:, :-1105], coded[:, :-1105])
    short = fitted(coded[:, :-300], RATE, coded, RATE, align=False)
    assert short.remarks == ("300 samples too short",)
    assert short.audio.shape == coded.shape
    early = fitted(coded[:, 50:], RATE, coded, RATE, align=False)
    assert early.remarks == ("50 samples too short", "early by 50 samples")
    assert fitted(coded[::-1], RATE, coded, RATE, False).remarks == ("left and right swapped",)
    assert fitted(coded[:1], RATE, coded, RATE, False).remarks[0] == "mono"
    assert fitted(coded, RATE, coded, RATE, False).remarks == ()
    with pytest.raises(SystemFailure, match="3 channels"):
        fitted(np.zeros((3, 100), np.float32), RATE, coded, RATE, False)


def test_a_folder_is_matched_by_names(pairs: PairList, restored: Path, tmp_path: Path) -> None:
    for number, pair in enumerate(pairs.pairs):
        source = restored / f"{pair.name}.wav"
        places = [
            tmp_path / f"{pair.name}.wav",
            tmp_path / "deep" / pair.name / "restored.wav",
            tmp_path / f"enhanced-{pair.name}_out.wav",
        ]
        places[number % 3].parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, places[number % 3])
    (system,) = choose_systems([f"mine={tmp_path}"], pairs.pairs)
    assert system.name == "mine"
    for pair in pairs.pairs:
        coded, _ = read_pair(pair)
        result = system.restore(coded, RATE, pair)
        assert np.array_equal(result.audio, coded)
        assert result.remarks == ()


def test_renamed_files_are_found_by_their_sound(
    pairs: PairList, restored: Path, tmp_path: Path
) -> None:
    for number, pair in enumerate(pairs.pairs):
        audio, _ = soundfile.read(restored / f"{pair.name}.wav", dtype="float32", always_2d=True)
        late = np.concatenate((np.zeros((200, 2), np.float32), 0.9 * audio[:-200]))
        soundfile.write(tmp_path / f"take {len(pairs.pairs) - number}.flac", late, RATE)
    system = FolderSystem("renamed", tmp_path, pairs.pairs)
    assert system.matched_by_sound >= 6
    for pair in pairs.pairs:
        coded, _ = read_pair(pair)
        try:
            result = system.restore(coded, RATE, pair)
        except SystemFailure:
            continue
        assert result.lag == 200
        assert result.remarks == ("late by 200 samples", "renamed, found by its sound")
        assert np.allclose(result.audio[:, 200:], 0.9 * coded[:, :-200], **NEARLY)


def test_missing_files_fail_for_their_pair_alone(
    pairs: PairList, restored: Path, tmp_path: Path
) -> None:
    first, second = pairs.pairs[:2]
    shutil.copy(restored / f"{first.name}.wav", tmp_path)
    (tmp_path / f"{second.name}.wav").write_bytes(b"RIFF no audio")
    system = FolderSystem("mine", tmp_path, pairs.pairs)
    coded, _ = read_pair(first)
    assert np.array_equal(system.restore(coded, RATE, first).audio, coded)
    with pytest.raises(SystemFailure, match=f"{second.name}.wav: cannot be read|Error opening"):
        system.restore(coded, RATE, second)
    with pytest.raises(SystemFailure, match="no file for this pair"):
        system.restore(coded, RATE, pairs.pairs[2])


def test_a_folder_of_something_else_is_refused(pairs: PairList, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no audio files"):
        FolderSystem("mine", tmp_path, pairs.pairs)
    soundfile.write(tmp_path / "song.wav", music(1.0, seed=4).T, RATE)
    with pytest.raises(DataError, match=r"none of its 1 files .* such as 00000_mp3_24k.wav"):
        FolderSystem("mine", tmp_path, pairs.pairs)


def test_a_command_is_called_on_files(pairs: PairList, tmp_path: Path) -> None:
    script = tmp_path / "half volume.py"
    script.write_text(
        "import sys, soundfile\n"
        "audio, rate = soundfile.read(sys.argv[1])\n"
        "soundfile.write(sys.argv[2], audio / 2, rate, 'FLOAT')\n"
    )
    system = CommandSystem("half", f"{sys.executable} '{script}' {{in}} {{out}}")
    pair = pairs.pairs[1]
    coded, _ = read_pair(pair)
    result = system.restore(coded, RATE, pair)
    assert np.allclose(result.audio, coded / 2, **NEARLY)
    assert result.remarks == ()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise SystemExit('no model here')", "ended with status 1: no model here"),
        ("pass", "wrote no {out}"),
        ("open(sys.argv[2], 'w').write('text')", "out/.*wav"),
    ],
)
def test_a_command_that_fails_says_why(
    pairs: PairList, tmp_path: Path, body: str, reason: str
) -> None:
    script = tmp_path / "bad.py"
    script.write_text(f"import sys\n{body}\n")
    system = CommandSystem("bad", f"{sys.executable} {script} {{in}} {{out}}")
    coded, _ = read_pair(pairs.pairs[0])
    with pytest.raises(SystemFailure, match=reason):
        system.restore(coded, RATE, pairs.pairs[0])


def test_names_are_unique_or_given(pairs: PairList, tmp_path: Path) -> None:
    for folder in ("runs/a", "runs/b", "old/a"):
        save_small(tmp_path / folder / "best.safetensors")
    files = [
        str(tmp_path / folder / "best.safetensors") for folder in ("runs/a", "runs/b", "old/a")
    ]
    named = choose_systems([*files, f"mine={files[0]}", "identity"], pairs.pairs)
    assert [system.name for system in named] == [
        "runs/a/best",
        "b/best",
        "old/a/best",
        "mine",
        "identity",
    ]
    assert [system.name for system in choose_systems([files[0]], pairs.pairs)] == ["best"]
    with pytest.raises(SettingsError, match="is given twice; name one, as in NAME="):
        choose_systems([files[0], files[0]], pairs.pairs)
    with pytest.raises(SettingsError, match="'codec' is the unrestored codec"):
        choose_systems([f"codec={files[0]}"], pairs.pairs)
    with pytest.raises(SettingsError, match=r"has no \{out\}"):
        choose_systems(["x=program {in}"], pairs.pairs)
    with pytest.raises(DataError, match="no such file"):
        choose_systems(["x=nowhere.safetensors"], pairs.pairs)


def test_copying_up_starts_at_the_edge_and_leaves_a_full_spectrum_alone() -> None:
    full = music(1.0)
    assert np.array_equal(copy_up(full, RATE), full)
    spectrum = np.fft.rfft(full)
    edge = round(8000 * full.shape[1] / RATE)
    spectrum[:, edge:] = 0
    cut = np.fft.irfft(spectrum, full.shape[1]).astype(np.float32)
    filled = np.fft.rfft(copy_up(cut, RATE))
    assert np.allclose(filled[:, : edge - 600], spectrum[:, : edge - 600], atol=0.05)
    above = slice(edge + 600, round(15000 * full.shape[1] / RATE))
    wanted = np.abs(np.fft.rfft(full)[:, above]) ** 2
    assert 10 * np.log10((np.abs(filled[:, above]) ** 2).mean() / wanted.mean()) > -8
