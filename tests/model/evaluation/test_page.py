"""What goes into report.html, checked without a browser."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from helpers.evaluation_folder import BROKEN, KBPS, NAMES, ODD_NAME, write_clips, write_evaluation
from helpers.signals import lag_of

from apollo_data.errors import DataError
from apollo_model.evaluation.metrics.clip import METRICS
from apollo_model.evaluation.page import document, write_page
from apollo_model.evaluation.page.listening import MAX_VERSIONS, pack_clips
from apollo_model.evaluation.page.rows import MAX_POINTS, distributions, points, read_rows
from apollo_model.evaluation.page.scores import metrics_in, scores_of


class _Scripts(HTMLParser):
    """Collects the page's scripts as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            about, text = self.scripts[-1]
            self.scripts[-1] = about, text + data


def scripts_of(page: Path) -> dict[str, str]:
    parser = _Scripts()
    parser.feed(page.read_text(encoding="utf-8"))
    assert "img" not in parser.tags
    return {about.get("id") or "code": text for about, text in parser.scripts}


def data_of(page: Path) -> dict[str, Any]:
    return json.loads(scripts_of(page)["data"])


def sound_of(page: Path, clip: int, version: int) -> tuple[np.ndarray, int]:
    text = scripts_of(page)[f"sound-{clip}-{version}"]
    return soundfile.read(io.BytesIO(base64.b64decode(text)), always_2d=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_evaluation(tmp_path_factory.mktemp("evaluation") / "run 1")


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    return write_page(folder)


def test_page_holds_every_system_and_the_published_rows(folder: Path, page: Path) -> None:
    data = data_of(page)
    found = [(system["name"], system["kind"]) for system in data["systems"]]
    assert page == folder / "report.html"
    assert found[0] == ("codec", "codec")
    assert [name for name, kind in found if kind == "system"] == [*NAMES[1:], BROKEN]
    assert [name for name, kind in found if kind == "published"] == ["SR-GAN", "Apollo"]
    published = data["systems"][-1]
    assert published["overall"]["values"]["sdr"] == [16.64, None, None]
    assert published["by_category"]["single_stem"]["values"]["visqol"][0] == 4.08


def test_means_and_intervals_are_those_of_the_summary(folder: Path, page: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())["systems"]["codec"]
    shown = data_of(page)["systems"][0]
    mean = summary["by_bitrate"]["64"]["si_snr"]
    assert shown["by_bitrate"]["64"]["values"]["si_snr"] == pytest.approx(
        [mean, mean - 0.4, mean + 0.4]
    )
    assert shown["overall"]["n"] == 36


def test_differences_speed_and_remarks_are_kept(page: Path) -> None:
    data = data_of(page)
    codec, odd = data["systems"][:2]
    assert codec["overall"]["difference"]["sdr"] is None
    assert odd["overall"]["difference"]["sdr"] == [1.25, 1.0, 1.5]
    assert (odd["ms"], odd["parameters"], odd["hum_test"]["failed"]) == (41.5, 521132, 9)
    assert data["notes"][0] == "1 pairs have a silent target; their scores are not defined."
    assert "codec: ViSQOL of 1 pairs is missing: the target is too short." in data["notes"]
    assert f"{ODD_NAME}, 2 pairs: shifted by 3 samples." in data["notes"]


def test_codings_other_than_plain_mp3_keep_their_name(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(
        "system,shard,pair,requested_kbps,coding,sdr\n"
        "codec,a.h5,0,,mp3 V0,1\ncodec,a.h5,1,24.0,mp3 24,2\ncodec,a.h5,2,64.0,aac 64,3\n"
    )
    found = points(read_rows(path, METRICS), METRICS, ["codec"])
    assert [pair[2] for pair in found["pairs"]] == ["mp3 V0", "24", "aac 64"]


@pytest.mark.parametrize(
    "beside", [{"sdr_ci95": [1.0, 3.0]}, {"ci95": {"sdr": [1.0, 3.0]}}], ids=["suffix", "group"]
)
def test_both_forms_of_intervals_are_read(beside: dict[str, Any]) -> None:
    scores = scores_of({"n": 2, "sdr": 2.0, **beside}, METRICS)
    assert scores["values"]["sdr"] == [2.0, 1.0, 3.0]
    assert scores["values"]["visqol"] is None


def test_names_cannot_end_the_data(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert ODD_NAME not in text
    assert ODD_NAME in [system["name"] for system in data_of(page)["systems"]]


def test_page_names_nothing_to_load(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", text)
    assert "default-src 'none'" in text


def test_writing_the_page_again_gives_the_same_file(
    folder: Path, page: Path, tmp_path: Path
) -> None:
    assert write_page(folder, tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_flac_keeps_the_samples(folder: Path, page: Path) -> None:
    assert data_of(page)["listening"]["format"] == "FLAC"
    kept, rate = sound_of(page, 1, 2)
    original, own_rate = soundfile.read(folder / "listening" / "clip-1-2.flac")
    assert rate == own_rate
    np.testing.assert_array_equal(kept, original)


def test_gains_bring_versions_to_the_targets_loudness(page: Path) -> None:
    versions = data_of(page)["listening"]["clips"][0]["versions"]
    assert [version["role"] for version in versions] == ["target", "codec", "system", "system"]
    assert versions[0]["gain_db"] == 0
    quiet = versions[3]["gain_db"] - versions[2]["gain_db"]
    assert 1.0 < quiet < 2.0  # 0.8 in amplitude is 1.94 dB, less what the wider band adds


def test_opus_is_taken_where_flac_does_not_fit_and_stays_in_time(tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", NAMES, 2)
    everything = pack_clips(tmp_path / "clips", 100_000_000)
    size = sum(len(text) for clip in everything.audio for text in clip)
    packed = pack_clips(tmp_path / "clips", size // 2)
    assert packed.about["format"].startswith("Opus")
    assert len(packed.about["clips"]) == 2
    assert sum(len(text) for clip in packed.audio for text in clip) <= size // 2
    audio, rate = soundfile.read(io.BytesIO(base64.b64decode(packed.audio[0][0])), always_2d=True)
    clean, _ = soundfile.read(tmp_path / "clips" / "clip-0-0.flac", always_2d=True)
    assert (rate, len(audio)) == (48000, round(len(clean) * 48000 / 44100))
    half = [sound[:, :1].T for sound in (audio, clean)]
    assert abs(lag_of(half[0][:, ::160], half[1][:, ::147])) <= 1


def test_clips_that_do_not_fit_are_told(tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", NAMES, 3)
    packed = pack_clips(tmp_path / "clips", 150_000)
    assert 0 < len(packed.audio) < 3
    assert len(packed.about["clips"]) == len(packed.audio)
    left = 3 - len(packed.audio)
    assert packed.about["notes"] == [f"{left} of 3 clips do not fit into the page."]


def test_a_page_of_hundreds_of_systems_stays_small(tmp_path: Path) -> None:
    names = ("codec", *(f"system {number} <&>" for number in range(200)))
    folder = write_evaluation(tmp_path, names, clips=0)
    write_clips(folder / "listening", names[: MAX_VERSIONS + 5], 1, seconds=0.5)
    page = write_page(folder)
    data = data_of(page)
    assert page.stat().st_size < document.MAX_BYTES
    assert sum(system["kind"] == "system" for system in data["systems"]) == 201
    assert len(data["listening"]["clips"][0]["versions"]) == MAX_VERSIONS
    assert data["listening"]["notes"][0].startswith("6 systems are scored but not in the listening")


def test_distributions_count_every_score(folder: Path) -> None:
    metrics = metrics_in(json.loads((folder / "summary.json").read_text()))
    found = distributions(read_rows(folder / "scores.csv", metrics), metrics, [*NAMES, BROKEN])
    assert [own and own["n"] for own in found["sdr"]["systems"]] == [36, 36, 36, None]
    assert [own and sum(own["counts"]) for own in found["visqol"]["systems"]] == [35, 35, 35, None]


def test_points_are_an_even_choice_in_pairs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = read_rows(folder / "scores.csv", METRICS)
    everything = points(rows, METRICS, NAMES)
    assert len(everything["pairs"]) == everything["of"] == 36
    assert everything["systems"][0]["visqol"][7] is None
    assert everything["pairs"][4] == ["clip 4", "vocal", str(KBPS[1])]
    assert MAX_POINTS > 60
    monkeypatch.setattr("apollo_model.evaluation.page.rows.MAX_POINTS", 60)
    some = points(rows, METRICS, NAMES)
    assert len(some["pairs"]) == 20
    assert some["pairs"][10] == everything["pairs"][18]
    assert some["systems"][2]["sdr"][10] == everything["systems"][2]["sdr"][18]


def test_a_folder_without_scores_and_clips_gives_a_page(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path, clips=0)
    (folder / "scores.csv").unlink()
    data = data_of(write_page(folder, tmp_path / "elsewhere" / "page.html"))
    assert data["listening"]["clips"] == []
    assert data["points"]["pairs"] == []


@pytest.mark.parametrize("text", [None, "{", "[]", '{"systems": {}}'])
def test_no_usable_summary_is_one_line(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "summary.json").write_text(text)
    with pytest.raises(DataError, match=r"summary\.json.*apollo-model eval") as error:
        write_page(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_sound_is_named(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path)
    (folder / "listening" / "clip-1-0.flac").unlink()
    with pytest.raises(DataError, match=r"clip-1-0\.flac"):
        write_page(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("text", ["{", '{"clips": 3}', '{"clips": [{"id": "a", "files": {}}]}'])
def test_a_damaged_list_of_clips_is_one_line(tmp_path: Path, text: str) -> None:
    folder = write_evaluation(tmp_path, clips=0)
    (folder / "listening").mkdir()
    (folder / "listening" / "clips.json").write_text(text)
    with pytest.raises(DataError, match=r"clips\.json.*apollo-model eval") as error:
        write_page(folder)
    assert "\n" not in str(error.value)


def test_clips_without_a_plain_bitrate_are_named_by_their_coding(tmp_path: Path) -> None:
    write_clips(tmp_path / "clips", NAMES, 2)
    index = tmp_path / "clips" / "clips.json"
    rows = json.loads(index.read_text())
    rows["clips"][0] |= {"bitrate_kbps": None, "coding": "mp3 V2"}
    rows["clips"][1] |= {"coding": "mp3 64"}
    index.write_text(json.dumps(rows))
    about = pack_clips(tmp_path / "clips", 100_000_000).about["clips"]
    assert [(clip["bitrate"], clip["codec"]) for clip in about] == [(None, "mp3 V2"), (64, "mp3")]
