"""Every detector on demo songs, whose true activity is known, and against its origin."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from apollo_data.activity import levels, pydub_silence, upstream, vocals
from apollo_data.activity.detect import DETECTORS, detect
from apollo_data.activity.levels import frame_blocks
from apollo_data.activity.score import FrameCounts, count_frames
from apollo_data.activity.silero import RATE as VOICE_RATE
from apollo_data.activity.silero import SpeechMeter
from apollo_data.audio.files import files_of, read_sound
from apollo_data.catalog.find_songs import read_catalog
from apollo_data.errors import AudioError
from apollo_data.records import ActiveSpan
from apollo_data.settings import ActivitySettings
from apollo_data.sources.demo.songs import read_truth, write_demo

RATE = 44100
NAMES = ("auto", "energy", "silero", "pydub", "upstream")
AUTO = ActivitySettings()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder, songs=4, seconds=12.0, seed=11)
    return folder


def stems_of(demo: Path) -> list[tuple[str, float, list[Path], list[ActiveSpan]]]:
    found = []
    for track in read_catalog(demo).tracks:
        for stem in track.stems:
            files = files_of(demo, stem.path, stem.sources)
            song = next(p for p in files[0].parents if (p / "activity.json").is_file())
            truth = [ActiveSpan(*span) for span in read_truth(song)[stem.stem_class]]
            found.append((stem.stem_class, stem.seconds, files, truth))
    return found


@pytest.fixture(scope="module")
def f1(demo: Path) -> dict[str, dict[str, float]]:
    """F1 by detector, of all stems and of the vocals."""
    result = {}
    for name in NAMES:
        settings = ActivitySettings(detector=name)
        counts = [
            (stem_class, count_frames(detect(files, stem_class, settings), truth, seconds))
            for stem_class, seconds, files, truth in stems_of(demo)
        ]
        sung = sum((own for stem_class, own in counts if stem_class == "vocals"), FrameCounts())
        result[name] = {
            "all": sum((own for _, own in counts), FrameCounts()).f1 or 0.0,
            "vocals": sung.f1 or 0.0,
        }
    return result


def test_energy_and_auto_find_the_demo_songs_true_spans(f1: dict[str, dict[str, float]]) -> None:
    for name in ("energy", "auto"):
        assert f1[name]["all"] >= 0.995
        assert f1[name]["vocals"] >= 0.99
    assert f1["auto"]["vocals"] >= f1["energy"]["vocals"]


def test_auto_is_better_than_the_baselines(f1: dict[str, dict[str, float]]) -> None:
    for stems in ("all", "vocals"):
        assert f1["auto"][stems] > f1["pydub"][stems] > f1["upstream"][stems] > 0.5
        assert f1["upstream"][stems] > f1["silero"][stems]
    assert f1["silero"]["vocals"] > 0.05  # singing is not speech


def vocals_of(demo: Path) -> list[Path]:
    """Vocals of which silero-vad takes more than half for speech."""
    return max(
        (files for stem_class, _, files, _ in stems_of(demo) if stem_class == "vocals"),
        key=lambda files: sum(
            span.end_seconds - span.start_seconds
            for span in detect(files, "vocals", ActivitySettings(detector="silero"))
        ),
    )


def save(path: Path, audio: np.ndarray) -> list[Path]:
    soundfile.write(path, audio, RATE, subtype="FLOAT")
    return [path]


def test_quiet_speech_is_activity_of_vocals_and_of_nothing_else(demo: Path, tmp_path: Path) -> None:
    voice = read_sound(vocals_of(demo), 1.7, 4 * RATE, RATE).T
    rest = np.zeros((RATE, 2), np.float32)
    noise = np.random.default_rng(0).normal(0, np.sqrt(np.mean(voice**2)), voice.shape)

    def quiet_seconds(quiet: np.ndarray, stem_class: str) -> float:
        """What is found after the loud voice and a rest."""
        sound = np.concatenate([voice, rest, quiet * 10 ** (-43.0 / 20), rest])
        spans = detect(save(tmp_path / "a.wav", sound), stem_class, AUTO)
        return sum(s.end_seconds - s.start_seconds for s in spans if s.start_seconds > 4.5)

    assert quiet_seconds(voice, "vocals") > 1.0
    assert quiet_seconds(voice, "other") == 0.0
    assert quiet_seconds(noise, "vocals") == 0.0


def test_speech_probabilities_are_those_of_the_package(demo: Path) -> None:
    import torch
    from silero_vad import load_silero_vad

    files = vocals_of(demo)
    audio = read_sound(files, 0.0, 10 * VOICE_RATE + 100, VOICE_RATE)
    meter = SpeechMeter(VOICE_RATE)
    for part in np.array_split(audio, 7, axis=1):
        meter.add(part)
    mono = torch.from_numpy(np.pad(audio.mean(axis=0), (0, -audio.shape[1] % 512)))
    with torch.inference_mode():
        expected = load_silero_vad().audio_forward(mono[None], VOICE_RATE)[0].numpy()
    assert expected.max() > 0.9
    np.testing.assert_allclose(meter.probabilities(), expected, atol=1e-4)


def test_pydub_in_blocks_is_pydub_on_the_whole_file(
    demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydub import AudioSegment
    from pydub.silence import detect_nonsilent

    monkeypatch.setattr(pydub_silence, "BLOCK_SECONDS", 2.0)
    for stem_class, _, files, _ in stems_of(demo)[:4]:
        (file,) = files[:1]
        pcm, rate = soundfile.read(file, dtype="int16")
        whole = AudioSegment(data=pcm.tobytes(), sample_width=2, frame_rate=rate, channels=2)
        expected = detect_nonsilent(whole, 300, whole.dBFS - 16.0, 10)
        found = detect([file], stem_class, ActivitySettings(detector="pydub"))
        assert [
            [round(span.start_seconds * 1000), round(span.end_seconds * 1000)] for span in found
        ] == expected


def published_windows(sound: np.ndarray) -> list[int]:
    """Start seconds by the published rule, on a whole file at once."""
    seconds = len(sound) // RATE
    power = (sound[: seconds * RATE].reshape(-1, 441 * 2) ** 2).sum(axis=1)
    threshold = np.quantile(power[power > 1e-3], 0.15)
    starts = range(0, (seconds - 6) // 3 * 3, 3)
    return [s for s in starts if np.mean(power[100 * s : 100 * s + 600] > threshold) > 0.5]


def test_upstream_decides_as_the_published_script(demo: Path) -> None:
    some = False
    for stem_class, _, files, _ in stems_of(demo):
        if len(files) == 1:
            windows = published_windows(soundfile.read(files[0])[0])
            spans = detect(files, stem_class, ActivitySettings(detector="upstream"))
            covered = {
                s for s in range(12) for span in spans if span.start_seconds <= s < span.end_seconds
            }
            assert covered == {s for start in windows for s in range(start, start + 6)}
            some |= bool(windows)
    assert some


def test_upstreams_rule_on_hand_made_powers() -> None:
    def windows(powers: np.ndarray) -> list[int]:
        return upstream.active_windows(powers)

    # Quantile 0.5: what lies above are the frames of 2.0. Just half of them is not enough.
    powers = np.full(1200, 0.5)
    powers[:300] = 2.0
    assert windows(powers) == []
    powers[300] = 2.0
    assert windows(powers) == [0]
    assert windows(np.append(powers, np.zeros(99))) == [0]  # the started second does not count
    # 12 s have three windows of 6 s, but the last that would fit is left out.
    rising = np.linspace(1.0, 2.0, 1200)
    assert windows(rising) == [0, 3]
    assert windows(rising[:899]) == []
    # Silence has no say in the threshold, and a file of silence no windows.
    assert windows(np.concatenate([np.full(600, 1e-3), rising[:600]])) == []
    assert windows(np.full(1200, 1e-3)) == []


@pytest.mark.parametrize("name", DETECTORS)
def test_blocks_change_nothing(demo: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    chosen = [vocals_of(demo), stems_of(demo)[0][2]]
    settings = ActivitySettings()
    expected = [DETECTORS[name](files, "vocals", settings) for files in chosen]
    for seconds in (0.5, 3.0, 1000.0):
        for module in (levels, pydub_silence, vocals):
            monkeypatch.setattr(module, "BLOCK_SECONDS", seconds)
        assert [DETECTORS[name](files, "vocals", settings) for files in chosen] == expected


@pytest.mark.parametrize("name", DETECTORS)
def test_silent_short_and_broken_files(tmp_path: Path, name: str) -> None:
    def spans(audio: np.ndarray) -> tuple[ActiveSpan, ...]:
        return DETECTORS[name](save(tmp_path / "a.wav", audio), "vocals", AUTO)

    assert spans(np.zeros((9 * RATE, 2))) == ()
    for samples in (1, 100, 441, 3000):
        for span in spans(np.full((samples, 1), 0.1)):
            assert 0.0 <= span.start_seconds < span.end_seconds <= samples / RATE + 1e-3
    broken = np.zeros((RATE, 2))
    broken[20000] = np.nan
    with pytest.raises(AudioError, match=r"a\.wav: holds NaN"):
        spans(broken)


def test_torch_is_imported_only_where_silero_is_asked(demo: Path, tmp_path: Path) -> None:
    clear = np.random.default_rng(0).normal(0, 0.1, (2 * RATE, 2))
    program = (
        "import sys; from pathlib import Path\n"
        "from apollo_data.activity.detect import detect\n"
        "from apollo_data.settings import ActivitySettings\n"
        "file = Path(sys.argv[1])\n"
        "print(detect([file], 'vocals', ActivitySettings()), 'torch' in sys.modules)\n"
        "detect([file], 'vocals', ActivitySettings(detector='silero'))\n"
        "import torch; print(torch.get_num_threads())"
    )
    files = save(tmp_path / "a.wav", clear)
    done = subprocess.run(
        [sys.executable, "-c", program, str(files[0])], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == [
        "(ActiveSpan(start_seconds=0.0, end_seconds=2.0),) False",
        "1",
    ], done.stderr


def test_the_meter_hears_every_sample_at_any_rate() -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (2, 48000)).astype(np.float32)
    meter = SpeechMeter(48000)
    meter.add(sound)
    assert len(meter.probabilities()) == int(np.ceil(16000 / 512))
    assert len(SpeechMeter(44100).probabilities()) == 0


def test_frame_blocks_are_whole_frames(tmp_path: Path) -> None:
    files = save(tmp_path / "a.wav", np.zeros((11 * RATE, 2)))
    sizes = [block.shape[1] for block in frame_blocks(files, RATE, 441)]
    assert sizes == [10 * RATE, RATE]
