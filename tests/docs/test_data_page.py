"""What docs/data.md says can be done as it says."""

import json
import re
from pathlib import Path

import soundfile
from helpers.small_songs import RATE, tone

from apollo_data.catalog.find_songs import read_catalog
from apollo_data.settings import facts as committed
from apollo_data.sources.artists import artist_key, official_test_artists

TEXT = Path("docs/data.md").read_text(encoding="utf-8")


def test_the_documented_data_json_is_a_song(tmp_path: Path) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    folder = tmp_path / "song"
    for stem in json.loads(example)["stems"]:
        (folder / stem["stemName"]).mkdir(parents=True)
        for track in stem["tracks"]:
            path = folder / stem["stemName"] / f"{track['id']}.{track['extension']}"
            soundfile.write(path, tone(track["id"], 1.0), RATE)
    (folder / "data.json").write_text(example)
    catalog = read_catalog(tmp_path)
    assert catalog.rejections == ()
    (stem,) = catalog.tracks[0].stems
    assert (stem.stem_class, stem.sources, stem.has_bleed) == (
        "guitar", ("left.wav", "right.wav"), True,
    )  # fmt: skip


def test_sizes_are_those_of_the_manifests() -> None:
    for name in committed.source_names():
        facts = committed.source_facts(name)
        assert f"{facts.approximate_bytes / 1e9:.1f} GB" in TEXT
        assert f"{facts.songs} songs" in TEXT
        assert facts.licence.split(" only")[0] in TEXT


def test_the_shared_artists_are_those_of_the_lists() -> None:
    songs = committed.official_songs("musdb18hq", "train")
    shared = {
        name.partition(" - ")[0]
        for name in songs
        if artist_key(name.partition(" - ")[0]) in official_test_artists()
    }
    assert all(artist in TEXT for artist in shared)
    assert len(shared) == 4
