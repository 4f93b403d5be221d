"""Songs that no clip can be cut from are named."""

import dataclasses
from pathlib import Path

import pytest
from helpers.catalogs import SECONDS, SPANS, library
from helpers.small_songs import small_settings, write_musdb_song

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.mixing.unused import unused_songs
from apollo_data.pipeline import plan_prepared, prepare
from apollo_data.records import ActiveSpan, Mixture
from apollo_data.workspace.folder import WorkFolder

QUIET = Console(quiet=True)


def test_short_and_silent_songs_are_named() -> None:
    tracks, activities = library(6)
    settings = small_settings(mixing={"clip_seconds": 3.0}).for_plan()
    assert unused_songs(tracks, activities, settings) == []
    short = dataclasses.replace(
        tracks[0],
        stems=tuple(dataclasses.replace(stem, seconds=2.0) for stem in tracks[0].stems),
        mixture=Mixture("song00/mixture.wav", 2.0),
    )
    heard = [
        dataclasses.replace(row, spans=(ActiveSpan(5.0, 6.0),) if row.song == "song01" else SPANS)
        for row in activities
    ]
    found = {row.path: row.reason for row in unused_songs([short, *tracks[1:]], heard, settings)}
    assert found == {
        "song00": "lasts 2 s, less than a clip of 3 s: it is never used",
        "song01": "is nowhere active for 80% of 3 s: it is never used",
    }
    assert SECONDS > 3.0


def test_a_strict_build_ends_at_a_song_that_gives_no_clip(tmp_path: Path) -> None:
    write_musdb_song(tmp_path / "songs/train/A - Long", 4.0)
    write_musdb_song(tmp_path / "songs/train/A - Short", 0.6)
    work = WorkFolder.at(tmp_path / "out")
    lenient = small_settings()
    found = prepare(tmp_path / "songs", work, lenient, 1, QUIET)
    assert sum(plan_prepared(found, work, lenient, QUIET).values()) > 0
    assert [row.path for row in work.read_rejects()] == ["musdb18hq/A - Short"]
    with pytest.raises(DataError, match=r"Short: lasts 0\.6 s, less than a clip .*strict"):
        plan_prepared(found, work, small_settings(strict=True), QUIET)
