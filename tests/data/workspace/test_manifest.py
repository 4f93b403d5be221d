import dataclasses
from pathlib import Path

import pytest

from apollo_data.errors import DataError
from apollo_data.records import (
    Coding,
    MixRecipe,
    Mixture,
    MixtureClip,
    Rejection,
    Stem,
    StemClip,
    Track,
)
from apollo_data.workspace.manifest import (
    from_json,
    is_current,
    iterate_rows,
    read_manifest,
    to_json,
    write_manifest,
)

TRACK = Track(
    song="moisesdb/x",
    source="moisesdb",
    split="train",
    title='Wörds \'n "quotes"',
    artist="",
    stems=(Stem("drums", "x/drums", 3.5, 44100, 2, ("a.wav", "b.wav")),),
    mixture=Mixture("x", 4.0, ("drums/a.wav",)),
)
RECIPES = [
    MixRecipe(
        seed=1,
        index=0,
        split="train",
        category="vocal",
        stems=(StemClip("s", "vocals", "s/vocals.wav", 1.25, 3.0, -0.0),),
        codings=(Coding("mp3", 24.0), Coding("mp3", 128.0)),
    ),
    MixRecipe(
        1, 1, "train", "multi_stems", (), (Coding("mp3", 32.0),), MixtureClip("s", "m", 0, 3)
    ),
]


@pytest.mark.parametrize("record", [TRACK, *RECIPES, Rejection("a", "sad", "no", {"k": "v"})])
def test_records_survive_json(record: object) -> None:
    assert from_json(type(record), to_json(record)) == record


def test_zero_and_false_are_written_but_empty_defaults_are_not() -> None:
    row = to_json(RECIPES[0])
    assert row["index"] == 0
    assert "mixture" not in row
    assert "sources" not in row["stems"][0]


def test_a_manifest_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "work" / "tracks.jsonl"
    odd = dataclasses.replace(TRACK, title=b"caf\xe9".decode("utf-8", "surrogateescape"))
    write_manifest(path, "tracks", [TRACK, odd], "key", tmp_path / "raw")
    manifest = read_manifest(path, "tracks", Track)
    assert manifest.rows == (TRACK, odd)
    assert manifest.root == tmp_path / "raw"
    assert is_current(path, "key")
    assert not is_current(path, "other")
    assert not is_current(tmp_path / "nothing", "key")


def test_a_working_folder_can_be_moved(tmp_path: Path) -> None:
    path = tmp_path / "here" / "work" / "tracks.jsonl"
    write_manifest(path, "tracks", [TRACK], "key", tmp_path / "here" / "work" / "raw")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there" / "work"
    assert read_manifest(moved / "tracks.jsonl", "tracks", Track).root == moved / "raw"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a manifest"),
        ("{}\n", "names no apollo-manifest"),
        ("[1]\n", "names no apollo-manifest"),
        ('{"format": "apollo-manifest", "format_version": 9}\n', "manifest version 9"),
        ('{"format": "apollo-manifest", "format_version": 1}\n', "its first row"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path / "x.jsonl", "tracks", Track)


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    write_manifest(path, "tracks", [TRACK, TRACK], "key", tmp_path)
    path.write_text(path.read_text()[:-30])
    with pytest.raises(DataError, match="row 3"):
        list(iterate_rows(path, "tracks", Track))
    for damage in (b"\xff\xfe\n", b"[1]\n", b'{"song": {}}\n'):
        write_manifest(path, "tracks", [TRACK], "key", tmp_path)
        path.write_bytes(path.read_bytes() + damage)
        with pytest.raises(DataError, match="row 3 cannot be read"):
            list(iterate_rows(path, "tracks", Track))
    with pytest.raises(DataError, match="holds tracks, expected mixes"):
        list(iterate_rows(path, "mixes", MixRecipe))
    with pytest.raises(DataError, match="run the stage"):
        read_manifest(tmp_path / "none.jsonl", "tracks", Track)
