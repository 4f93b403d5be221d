"""A song's split follows from where it really lies, by whichever way it is reached."""

from pathlib import Path

import pytest
from helpers.small_songs import write_moises_song, write_musdb_song

from apollo_data.catalog.find_songs import read_catalog


def splits(root: Path) -> set[str]:
    return {track.split for track in read_catalog(root).tracks}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for number in range(3):
        write_musdb_song(tmp_path / f"own/test/Mine{number}", seconds=0.2)
    write_moises_song(tmp_path / "own/test/u", ("vocals",), seconds=0.2)
    return tmp_path / "own"


def test_a_test_folder_counts_however_it_is_named(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert splits(own) == splits(own / "test") == splits(own / "test/Mine0") == {"test"}
    monkeypatch.chdir(own / "test")
    assert splits(Path()) == {"test"}
    (own.parent / "songs").symlink_to(own / "test")
    assert splits(own.parent / "songs") == {"test"}
    (own.parent / "tree/train").mkdir(parents=True)
    (own.parent / "tree/train/linked").symlink_to(own / "test")
    assert splits(own.parent / "tree") == {"test"}  # written in train, but it lies in test


@pytest.mark.parametrize("name", ["valid", "Validation", "val"])
def test_a_folder_of_validation_songs_is_honoured(own: Path, name: str) -> None:
    (own / "test").rename(own / name)
    assert splits(own) == splits(own / name) == {"valid"}


def test_folders_above_the_root_do_not_count(tmp_path: Path) -> None:
    root = tmp_path / "test/mine/songs"
    write_musdb_song(root / "train/A - B", seconds=0.2)
    write_musdb_song(root / "train/C - D", seconds=0.2)
    assert splits(root) == {"train", "valid"}
