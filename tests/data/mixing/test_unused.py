"""Songs that no clip can be cut from are named."""

import dataclasses

from helpers.catalogs import SECONDS, SPANS, library
from helpers.small_songs import small_settings

from apollo_data.mixing.unused import unused_songs
from apollo_data.records import ActiveSpan, Mixture


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
