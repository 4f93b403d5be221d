from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from apollo_data.audio.files import probe, read_sound, sound_blocks, write_wav
from apollo_data.errors import AudioError

RATE = 44100


def noise(samples: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (samples, channels)).astype(np.float32)


def save(path: Path, audio: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, audio, rate, subtype="FLOAT")
    return path


def test_a_stretch_is_what_the_file_holds_there(tmp_path: Path) -> None:
    audio = noise(RATE)
    path = save(tmp_path / "a.wav", audio)
    assert np.array_equal(read_sound([path], 0.25, 1000, RATE), audio[11025:12025].T)
    past_the_end = read_sound([path], 0.99, 1000, RATE)
    assert np.array_equal(past_the_end[:, :441], audio[43659:].T)
    assert not past_the_end[:, 441:].any()
    assert not read_sound([path], 5.0, 1000, RATE).any()


def test_sources_are_summed_and_mono_is_both_channels(tmp_path: Path) -> None:
    stereo, mono = noise(5000), noise(4000, 1, seed=1)
    files = [save(tmp_path / "a.wav", stereo), save(tmp_path / "b.wav", mono)]
    total = read_sound(files, 0.0, 5000, RATE)
    assert np.array_equal(total[:, :4000], (stereo[:4000] + mono).T)
    assert np.array_equal(total[:, 4000:], stereo[4000:].T)


@pytest.mark.parametrize("rate", [48000, 96000, 22050, 32000])
def test_a_stretch_of_another_rate_is_that_of_the_whole_file_resampled(
    tmp_path: Path, rate: int
) -> None:
    audio = noise(2 * rate)
    path = save(tmp_path / "a.wav", audio, rate)
    whole = soxr.resample(audio, rate, RATE).T
    for start in (0, 1, 30000, 2 * RATE - 500):
        stretch = read_sound([path], start / RATE, 500, RATE)
        assert np.abs(stretch - whole[:, start : start + 500]).max() < 1e-6


def test_blocks_join_to_the_sum_and_end_with_the_longest_source(tmp_path: Path) -> None:
    long, short = noise(RATE), noise(30000, seed=2)
    files = [save(tmp_path / "a.wav", long), save(tmp_path / "b.wav", short)]
    blocks = list(sound_blocks(files, RATE, 0.1))
    assert {block.shape[1] for block in blocks[:-1]} == {4410}
    long[:30000] += short
    assert np.array_equal(np.concatenate(blocks, axis=1), long.T)


def test_wav_files_survive(tmp_path: Path) -> None:
    audio = np.clip(noise(1000), -1, 1).T
    write_wav(tmp_path / "a.wav", audio, RATE)
    assert probe(tmp_path / "a.wav").frames == 1000
    assert np.abs(read_sound([tmp_path / "a.wav"], 0.0, 1000, RATE) - audio).max() <= 2**-15


def test_what_is_no_sound_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no audio at all, but long enough to be looked at")
    save(tmp_path / "none.wav", noise(0))
    nan = noise(1000)
    nan[500] = np.nan
    save(tmp_path / "nan.wav", nan)
    save(tmp_path / "six.wav", noise(1000, 6))
    with pytest.raises(AudioError, match=r"empty\.wav: is an empty file"):
        probe(tmp_path / "empty.wav")
    with pytest.raises(AudioError, match=r"text\.wav: cannot be read as audio"):
        probe(tmp_path / "text.wav")
    with pytest.raises(AudioError, match=r"none\.wav: holds no samples"):
        probe(tmp_path / "none.wav")
    with pytest.raises(AudioError, match=r"gone\.wav: no such file"):
        read_sound([tmp_path / "gone.wav"], 0.0, 100, RATE)
    with pytest.raises(AudioError, match=r"nan\.wav: holds NaN"):
        read_sound([tmp_path / "nan.wav"], 0.0, 1000, RATE)
    with pytest.raises(AudioError, match=r"six\.wav: has 6 channels"):
        read_sound([tmp_path / "six.wav"], 0.0, 1000, RATE)
