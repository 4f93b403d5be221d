"""Scores against the truth, timelines, and the command that shows both."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from apollo_data.activity.score import FrameCounts, count_frames, score_classes
from apollo_data.activity.timeline_picture import SongTimeline, StemTimeline, draw_timeline
from apollo_data.cli import app
from apollo_data.records import ActiveSpan, StemActivity
from apollo_data.sources.demo.songs import write_demo
from apollo_data.workspace.manifest import read_manifest

PROGRAM = "from apollo_data.cli import main; main()"


def spans(*pairs: tuple[float, float]) -> list[ActiveSpan]:
    return [ActiveSpan(*pair) for pair in pairs]


def test_frames_are_counted() -> None:
    counts = count_frames(spans((0.0, 2.0), (5.0, 6.0)), spans((1.0, 3.0), (5.5, 6.0)), 10.0)
    assert counts == FrameCounts(hits=150, false_alarms=150, misses=100)
    assert (counts.precision, counts.recall, counts.f1) == (0.5, 0.6, 300 / 550)


def test_a_score_that_means_nothing_is_none() -> None:
    nothing = count_frames([], [], 1.0)
    assert (nothing.precision, nothing.recall, nothing.f1) == (None, None, None)
    missed = count_frames([], spans((0.0, 1.0)), 1.0)
    assert (missed.precision, missed.recall, missed.f1) == (None, 0.0, 0.0)


def test_classes_add_up_frames_and_not_scores() -> None:
    long = FrameCounts(hits=900, false_alarms=0, misses=0)
    short = FrameCounts(hits=0, false_alarms=0, misses=100)
    rows = score_classes("x", [("vocals", long), ("bass", long), ("vocals", short)])
    assert [(row.stem_class, row.stems, row.recall) for row in rows] == [
        ("bass", 1, 1.0),
        ("vocals", 2, 0.9),
        ("all", 3, 1800 / 1900),
    ]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder, songs=2, seconds=10.0, seed=11)
    return folder


def sad(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["sad", "--workers", "1", "--quiet", *map(str, arguments)])


def test_score_prints_what_each_detector_is_worth(demo: Path, tmp_path: Path) -> None:
    shown = sad("--in", demo, "--out", tmp_path, "--score", "-d", "energy", "-d", "upstream")
    assert shown.exit_code == 0, shown.output
    table = [line.split() for line in shown.output.splitlines()]
    assert ["detector", "energy"] in table
    assert ["detector", "upstream"] in table
    overall = [row for row in table if row[:1] == ["all"]]
    assert [row[1] for row in overall] == ["15", "15"]
    assert float(overall[0][4]) > 0.98 > float(overall[1][4])
    assert not (tmp_path / "activity.jsonl").exists()


def test_score_as_json_of_all_detectors(demo: Path, tmp_path: Path) -> None:
    shown = sad("--in", demo, "--out", tmp_path, "--score", "-d", "all", "--json")
    rows = {(row["detector"], row["stem_class"]): row for row in json.loads(shown.output)}
    assert {name for name, _ in rows} == {"auto", "energy", "silero", "pydub", "upstream"}
    assert rows["auto", "all"]["f1"] > rows["pydub", "all"]["f1"]
    assert rows["silero", "bass"]["precision"] is None


def test_the_detector_asked_for_is_used_and_recorded(demo: Path, tmp_path: Path) -> None:
    def detectors() -> dict[str, str]:
        rows = read_manifest(tmp_path / "activity.jsonl", "activity", StemActivity).rows
        return {row.stem_class: row.detector for row in rows}

    assert sad("--in", demo, "--out", tmp_path).exit_code == 0
    assert (detectors()["vocals"], detectors()["bass"]) == ("energy+silero", "energy")
    assert sad("--in", demo, "--out", tmp_path, "--detector", "upstream").exit_code == 0
    assert set(detectors().values()) == {"upstream"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--detector", "enrgy"], "unknown detector 'enrgy'"),
        (["--detector", "auto", "--detector", "pydub"], "need --score"),
    ],
)
def test_bad_choices_are_bad_usage(demo: Path, options: list[str], message: str) -> None:
    shown = sad("--in", demo, *options)
    assert shown.exit_code == 2
    assert message in " ".join(shown.output.replace("│", " ").split())


def test_songs_without_truth_cannot_be_scored(demo: Path, tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    shutil.copytree(next(demo.glob("musdb18hq/*/*")), songs / "train" / "Band - Tune")
    (songs / "train" / "Band - Tune" / "activity.json").unlink()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "sad", "--score", "--quiet", "--in", str(songs)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "its true activity is not known" in done.stderr


def test_plot_writes_a_picture_a_song_and_detector(demo: Path, tmp_path: Path) -> None:
    assert sad("--in", demo, "--out", tmp_path / "w", "--plot", tmp_path / "one").exit_code == 0
    assert len(list((tmp_path / "one").glob("*.png"))) == 2
    options = ("--score", "-d", "energy", "-d", "upstream", "--plot", tmp_path / "two")
    assert sad("--in", demo, "--out", tmp_path / "w", *options).exit_code == 0
    assert len(list((tmp_path / "two" / "energy").glob("*.png"))) == 2
    assert len(list((tmp_path / "two" / "upstream").glob("*.png"))) == 2


def test_a_picture_shows_where_the_spans_are(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, (441000, 2))
    soundfile.write(tmp_path / "a.wav", sound, 44100)
    stem = StemTimeline(
        "bass",
        (tmp_path / "a.wav",),
        10.0,
        tuple(spans((2.0, 4.0))),
        "x",
        tuple(spans((5.0, 10.0))),
    )
    song = SongTimeline(tmp_path / "a.png", "A $ong_ with $igns", (stem,))
    picture = (matplotlib.image.imread(draw_timeline(song))[..., :3] * 255).round()

    def columns(colour: tuple[int, int, int]) -> np.ndarray:
        """Where a colour is found in the rows of the envelope and the truth, as a share."""
        rows = picture[45:-50, 143:1089]
        return np.flatnonzero((rows == colour).all(axis=2).any(axis=0)) / rows.shape[1] * 10.0

    active, resting, true = (columns(c) for c in ((27, 108, 168), (154, 163, 171), (209, 73, 91)))
    assert (active.min(), active.max()) == pytest.approx((2.0, 4.0), abs=0.1)
    assert (resting.min(), resting.max()) == pytest.approx((0.0, 10.0), abs=0.1)
    assert not ((resting > 2.1) & (resting < 3.9)).any()
    assert (true.min(), true.max()) == pytest.approx((5.0, 10.0), abs=0.1)
