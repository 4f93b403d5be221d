import json
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from apollo_data.errors import DataError, SettingsError
from apollo_data.random_streams import stable_fraction
from apollo_data.records import STEM_CLASSES
from apollo_data.sources.demo.names import MOISESDB, MUSDB18HQ, moisesdb_split, name_songs
from apollo_data.sources.demo.songs import read_truth, write_demo

SECONDS = 12.0
FRAME = 441
SOURCES = {"drums": 3, "vocals": 2, "guitar": 2}


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo"), songs=4, seconds=SECONDS, seed=11)


@pytest.fixture(scope="module")
def stems(songs):
    return {folder: read_stems(folder) for folder in songs}


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    out = tmp_path_factory.mktemp("short")
    return out, write_demo(out, songs=2, seconds=6.0, seed=5)


def read_pcm(path):
    pcm, rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert rate == 44_100
    return pcm.astype(np.int32)


def read_stems(folder):
    """Return each stem's samples, (samples, 2) int32; MoisesDB's are summed from their sources."""
    if (folder / "mixture.wav").exists():
        return {name: read_pcm(folder / f"{name}.wav") for name in read_truth(folder)}
    return {
        name: sum(read_pcm(path) for path in sorted((folder / name).glob("*.wav")))
        for name in read_truth(folder)
    }


def levels_db(pcm):
    """Return the RMS of each 10 ms, (frames,), in dB under the stem's loud level."""
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME * 2).astype(np.float64)
    rms = np.sqrt(np.mean(np.square(frames), axis=1))
    return 20.0 * np.log10(rms / np.percentile(rms, 95) + 1e-9)


def in_spans(spans, frames, margin_seconds=0.0):
    active = np.zeros(frames, bool)
    for start, end in spans:
        first = max(0, round((start - margin_seconds) * 100))
        active[first : round((end + margin_seconds) * 100)] = True
    return active


def gated(levels):
    """A plain energy gate: on above -40 dB, off below -46 dB, gaps under 0.3 s bridged."""
    active = np.zeros(len(levels), bool)
    on = False
    for index, level in enumerate(levels):
        on = level > (-46.0 if on else -40.0)
        active[index] = on
    hits = np.flatnonzero(active)
    for before, after in pairwise(hits):
        if after - before <= 30:
            active[before:after] = True
    return active


def f1(found, true):
    return 2.0 * np.sum(found & true) / (np.sum(found) + np.sum(true))


def spectrum_db(pcm):
    """Return the long-term spectrum in thirds of an octave from 40 Hz to 20 kHz, in dB."""
    power = np.abs(np.fft.rfft(pcm.sum(axis=1).astype(np.float64))) ** 2
    hz = np.fft.rfftfreq(len(pcm), 1.0 / 44_100)
    edges = 40.0 * 2.0 ** (np.arange(28) / 3.0)
    bands = [power[(hz >= a) & (hz < b)].sum() for a, b in pairwise(edges)]
    return 10.0 * np.log10(np.array(bands) / power.sum() + 1e-9)


def files_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def contents(folder):
    return {name: (folder / name).read_bytes() for name in files_of(folder)}


def test_musdb18hq_songs_have_its_layout(songs):
    folders = songs[:2]
    assert [folder.parent.name for folder in folders] == ["train", "test"]
    for folder in folders:
        assert folder.parent.parent.name == "musdb18hq"
        assert len(folder.name.split(" - ")) == 2
        stem_files = [f"{name}.wav" for name in ("bass", "drums", "mixture", "other", "vocals")]
        assert files_of(folder) == ["activity.json", *stem_files]


def test_moisesdb_songs_have_its_layout(songs):
    for folder in songs[2:]:
        assert folder.parts[-3:-1] == ("moisesdb", "moisesdb_v0.1")
        data = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        assert set(data) == {"song", "artist", "genre", "stems"}
        assert [stem["stemName"] for stem in data["stems"]] == list(STEM_CLASSES)
        listed = ["activity.json", "data.json"]
        for stem in data["stems"]:
            assert set(stem) == {"id", "stemName", "tracks"}
            assert len(stem["tracks"]) == SOURCES.get(stem["stemName"], 1)
            for track in stem["tracks"]:
                assert set(track) == {"id", "trackType", "extension", "has_bleed"}
                listed.append(f"{stem['stemName']}/{track['id']}.{track['extension']}")
        assert files_of(folder) == sorted(listed)


def test_every_file_is_16_bit_stereo_of_the_asked_length(songs):
    for folder in songs:
        for path in folder.rglob("*.wav"):
            info = soundfile.info(path)
            assert (info.format, info.subtype) == ("WAV", "PCM_16")
            assert (info.channels, info.samplerate) == (2, 44_100)
            assert info.frames == round(SECONDS * 44_100)
            pcm = read_pcm(path)
            assert np.any(pcm[:, 0] != pcm[:, 1])


def test_mixture_is_the_sum_of_its_stems(songs, stems):
    for folder in songs[:2]:
        mixture = read_pcm(folder / "mixture.wav")
        assert np.array_equal(mixture, sum(stems[folder].values()))


def test_levels_are_sane_and_nothing_clips(stems):
    for folder, of_song in stems.items():
        assert np.abs(sum(of_song.values())).max() <= 0.9 * 32_767
        for name, pcm in of_song.items():
            peak_db = 20.0 * np.log10(np.abs(pcm).max() / 32_767)
            assert -20.0 <= peak_db <= -3.0, (folder.name, name, peak_db)


def test_every_stem_rests_for_a_second_and_sounds_for_four(songs):
    for folder in songs:
        truth = read_truth(folder)
        for name, spans in truth.items():
            edges = [0.0, *np.ravel(spans), SECONDS]
            rests = np.diff(edges)[::2]
            assert rests.max() >= 1.0, (folder.name, name, spans)
            assert max(end - start for start, end in spans) >= 4.0, (folder.name, name, spans)


def test_true_spans_are_where_the_stems_sound(songs, stems):
    for folder in songs:
        truth = read_truth(folder)
        assert set(truth) == set(stems[folder])
        for name, pcm in stems[folder].items():
            levels = levels_db(pcm)
            silent = ~in_spans(truth[name], len(levels), margin_seconds=0.05)
            assert levels[silent].max() <= -40.0, (folder.name, name)
            true = in_spans(truth[name], len(levels))
            # 10 dB lower the gate opens at -50 dB; what it bridges counts as sounding in both.
            assert np.mean(gated(levels + 10.0)[true]) >= 0.99, (folder.name, name)
            assert f1(gated(levels), true) >= 0.97, (folder.name, name)


def test_rests_are_digital_silence_after_the_tails(songs, stems):
    for folder in songs:
        truth = read_truth(folder)
        for name, pcm in stems[folder].items():
            quiet = ~in_spans(truth[name], len(pcm) // FRAME, margin_seconds=0.5)
            frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME * 2)
            assert np.abs(frames[quiet]).max(initial=0) <= 1, (folder.name, name)


def test_energy_reaches_20_khz_and_falls_as_in_music(stems):
    for of_song in stems.values():
        mixture = sum(of_song.values()).astype(np.float64)
        power = np.abs(np.fft.rfft(mixture.sum(axis=1))) ** 2
        hz = np.fft.rfftfreq(len(mixture), 1.0 / 44_100)

        def share_db(low, high, power=power, hz=hz):
            return 10.0 * np.log10(power[(hz >= low) & (hz < high)].sum() / power.sum())

        assert -75.0 < share_db(16_000, 20_000) < -25.0
        assert share_db(19_000, 20_000) > -75.0
        assert share_db(60, 1000) > share_db(1000, 4000) > share_db(4000, 16_000)


def test_every_class_has_a_sound_of_its_own(songs, stems):
    for folder in songs[2:]:
        spectra = {name: spectrum_db(pcm) for name, pcm in stems[folder].items()}
        assert set(spectra) == set(STEM_CLASSES)
        for one, other in combinations(STEM_CLASSES, 2):
            apart_db = np.sqrt(np.mean(np.square(spectra[one] - spectra[other])))
            assert apart_db > 4.0, (folder.name, one, other, apart_db)


def test_songs_differ(songs, stems):
    music = [json.loads((f / "activity.json").read_text(encoding="utf-8"))["music"] for f in songs]
    assert len({(m["key"], m["tempo_bpm"]) for m in music}) == len(songs)
    assert all(72.0 <= m["tempo_bpm"] <= 140.0 for m in music)
    assert all(m["sections"][0]["name"] == "intro" for m in music)
    for name in ("vocals", "drums", "bass"):
        spectra = [spectrum_db(stems[folder][name]) for folder in songs]
        for one, other in combinations(spectra, 2):
            assert np.sqrt(np.mean(np.square(one - other))) > 1.0


def test_shortest_songs_hold_a_rest_and_a_sound_in_every_stem(short):
    _, folders = short
    for folder in folders:
        of_song = read_stems(folder)
        for name, spans in read_truth(folder).items():
            assert np.diff([0.0, *np.ravel(spans), 6.0])[::2].max() >= 1.0, (folder.name, name)
            assert sum(end - start for start, end in spans) >= 1.0
            levels = levels_db(of_song[name])
            assert f1(gated(levels), in_spans(spans, len(levels))) >= 0.95


def test_files_depend_on_nothing_but_seed_index_and_length(short, tmp_path):
    _, folders = short
    again = write_demo(tmp_path / "more", songs=3, seconds=6, seed=5, workers=2)
    assert [again[0].name, again[2].name] == [folder.name for folder in folders]
    assert contents(again[0]) == contents(folders[0])
    assert contents(again[2]) == contents(folders[1])
    (other,) = write_demo(tmp_path / "other", songs=1, seconds=6, seed=6)
    assert (other / "bass.wav").read_bytes() != (folders[0] / "bass.wav").read_bytes()


def test_writing_again_makes_only_what_is_missing(short):
    out, folders = short
    before = [contents(folder) for folder in folders]
    kept = folders[0] / "mixture.wav"
    kept_at = kept.stat().st_mtime_ns
    lost = next((folders[1] / "piano").glob("*.wav"))
    lost.unlink()
    stray = folders[1] / ".bass.wav.x.partial"
    stray.write_bytes(b"half a file")
    reported = []
    assert write_demo(out, songs=2, seconds=6.0, seed=5, report=reported.append) == folders
    assert len(reported) == 2
    assert reported[0] == folders[0].name
    assert kept.stat().st_mtime_ns == kept_at
    assert [contents(folder) for folder in folders] == before

    (folders[0] / "activity.json").unlink()
    (folders[0] / "bass.wav").write_bytes(b"not what it was")
    write_demo(out, songs=2, seconds=6.0, seed=5)
    assert kept.stat().st_mtime_ns > kept_at
    assert [contents(folder) for folder in folders] == before


def test_other_arguments_are_refused(short):
    out, folders = short
    before = contents(folders[0])
    with pytest.raises(DataError, match=r"made with seed 5, songs 2, seconds 6\.0"):
        write_demo(out, songs=2, seconds=6.0, seed=6)
    assert contents(folders[0]) == before


@pytest.mark.parametrize(("count", "seconds"), [(0, 12.0), (2, 5.9), (2, 601.0)])
def test_impossible_arguments_are_refused(tmp_path, count, seconds):
    with pytest.raises(SettingsError, match="expected"):
        write_demo(tmp_path, count, seconds, seed=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", [None, "{", '{"stems": 3}', '{"stems": {"bass": [1.0]}}', "[]"])
def test_truth_that_cannot_be_read_is_one_clear_error(tmp_path, text):
    if text is not None:
        (tmp_path / "activity.json").write_text(text)
    with pytest.raises(DataError, match=r"activity\.json"):
        read_truth(tmp_path)


def test_names_put_each_song_into_its_planned_split():
    for seed in range(3):
        musdb = name_songs(MUSDB18HQ, 40, seed)
        tests = [name for name in musdb if name.folder.startswith("musdb18hq/test/")]
        train = [name for name in musdb if name.folder.startswith("musdb18hq/train/")]
        assert (len(tests), len(train)) == (12, 28)
        hashes = [stable_fraction(f"musdb18hq/{n.artist} - {n.title}") for n in train]
        assert [h < 0.1 for h in hashes].index(True) == 2
        assert sum(h < 0.1 for h in hashes) == 1
        assert len({name.folder for name in musdb}) == 40

        moises = name_songs(MOISESDB, 10, seed)
        bounds = {"train": (0.0, 0.8), "valid": (0.8, 0.9), "test": (0.9, 1.0)}
        for index, name in enumerate(moises):
            assert name.split == moisesdb_split(index)
            low, high = bounds[name.split]
            assert low <= stable_fraction(f"moisesdb/{Path(name.folder).name}") < high
        assert [moisesdb_split(index) for index in range(3)] == ["train", "test", "valid"]

        splits_of = {}
        for name in musdb + moises:
            splits_of.setdefault(name.artist, set()).add(name.split)
        assert all(len(splits) == 1 for splits in splits_of.values())
        assert name_songs(MUSDB18HQ, 7, seed) == musdb[:7]


def test_some_names_are_as_awkward_as_real_ones():
    names = [f"{n.artist} - {n.title}" for n in name_songs(MUSDB18HQ, 60, 1)]
    assert any("'" in name for name in names)
    assert any("&" in name for name in names)
    assert any(not name.isascii() for name in names)
