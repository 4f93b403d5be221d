"""A folder that holds audio is part of a song or of pairs, or a row says why it is not."""

import os
from pathlib import Path

import pytest
import soundfile
from helpers.small_songs import RATE, tone, write_moises_song, write_musdb_song

from apollo_data.catalog.find_songs import read_catalog
from apollo_data.catalog.source import catalog_songs
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.records import Track
from apollo_data.settings import CatalogSettings
from apollo_data.workspace.folder import WorkFolder
from apollo_data.workspace.manifest import read_manifest

QUIET = Console(quiet=True)
SECONDS = 0.3


def rows(root: Path) -> dict[str, str]:
    return {row.path: row.reason for row in read_catalog(root).rejections}


def test_what_the_documentation_calls_fine_is_taken(tmp_path: Path) -> None:
    write_musdb_song(tmp_path / "No - Mixture", seconds=SECONDS)
    (tmp_path / "No - Mixture/mixture.wav").unlink()
    for name, suffix in (("All - Aiff", ".aiff"), ("Rf - 64", ".w64")):
        write_musdb_song(tmp_path / name, seconds=SECONDS)
        for file in (tmp_path / name).iterdir():
            sound, rate = soundfile.read(file)
            soundfile.write(file.with_suffix(suffix), sound, rate)
            file.unlink()
    write_musdb_song(tmp_path / "Upper - Case", seconds=SECONDS)
    for file in (tmp_path / "Upper - Case").iterdir():
        file.rename(file.with_name(file.name.upper()))
    only = tmp_path / "Vocals - Only"
    only.mkdir()
    soundfile.write(only / "vocals.flac", tone("v", SECONDS), RATE)
    catalog = read_catalog(tmp_path)
    assert catalog.rejections == ()
    stems = {track.song.partition("/")[2]: len(track.stems) for track in catalog.tracks}
    others = ("All - Aiff", "No - Mixture", "Rf - 64", "Upper - Case")
    assert stems == {**dict.fromkeys(others, 4), "Vocals - Only": 1}


def test_names_on_disk_may_be_of_another_unicode_form_or_case(tmp_path: Path) -> None:
    write_moises_song(tmp_path / "u", ("vocals", "drums"), seconds=SECONDS)
    composed, decomposed = "é", "e\u0301"
    data = tmp_path / "u/data.json"
    data.write_text(data.read_text().replace("vocals-0", composed), "utf-8")
    (tmp_path / "u/vocals/vocals-0.wav").rename(tmp_path / f"u/vocals/{decomposed}.WAV")
    for side, name in (("clean", composed), ("degraded", decomposed)):
        (tmp_path / "p" / side).mkdir(parents=True)
        soundfile.write(tmp_path / "p" / side / f"{name}.wav", tone(name, SECONDS), RATE)
    catalog = read_catalog(tmp_path)
    assert catalog.rejections == ()
    assert [track.source for track in catalog.tracks] == ["moisesdb", "paired"]
    assert len(catalog.tracks[0].stems) == 2


def test_each_folder_of_audio_that_is_not_taken_has_a_row(tmp_path: Path) -> None:
    write_musdb_song(tmp_path / "Good - Song", seconds=SECONDS)
    soundfile.write(tmp_path / "Good - Song/vocals.mp3", tone("v", SECONDS), RATE)
    for name, content in (("empty", ""), ("damaged", "{"), ("odd", '{"stems": []}')):
        write_moises_song(tmp_path / name, ("vocals",), seconds=SECONDS)
        (tmp_path / name / "data.json").write_text(content)
    for name in ("gone", "lost"):
        write_moises_song(tmp_path / name, ("vocals", "drums"), seconds=SECONDS)
        (tmp_path / name / "data.json").unlink()
    os.mkfifo(tmp_path / "lost/data.json")
    (tmp_path / "dangling").symlink_to("/nowhere/Song")
    (tmp_path / "loop").symlink_to("loop")
    for place in (".hidden/A - B", "album/cd 1", "mp3s", "band", "table/extra"):
        (tmp_path / place).mkdir(parents=True)
    soundfile.write(tmp_path / ".hidden/A - B/vocals.wav", tone("v", SECONDS), RATE)
    soundfile.write(tmp_path / "album/cd 1/01.flac", tone("v", SECONDS), RATE)
    soundfile.write(tmp_path / "mp3s/vocals.mp3", tone("v", SECONDS), RATE)
    (tmp_path / "band/Song.stem.mp4").write_bytes(b"x")
    soundfile.write(tmp_path / "table/extra/one.wav", tone("v", SECONDS), RATE)
    (tmp_path / "table/pairs.csv").write_text("clean,degraded\na.wav,b.wav\n")
    found = rows(tmp_path)
    assert "is not WAV, FLAC or AIFF" in found.pop("Good - Song/vocals.mp3")
    assert "empty file" in found.pop("empty/data.json")
    assert "no description" in found.pop("damaged/data.json")
    assert found.pop("odd/data.json") == "names no stems"
    for name in ("empty", "damaged", "odd"):
        found.pop(f"{name}/vocals/vocals-0.wav", None)
    assert "is no plain file" in found.pop("lost/data.json")
    assert "no data.json" in found.pop("gone")
    assert "/nowhere/Song" in found.pop("dangling")
    assert "link to something that is not there" in found.pop("loop")
    assert "begins with a dot" in found.pop(".hidden")
    assert "in no known layout" in found.pop("album/cd 1")
    assert "none of them lossless" in found.pop("mp3s")
    assert "-map 0:a:4 vocals.wav" in found.pop("band/Song.stem.mp4")
    assert "one.wav" in found.pop("table/extra")
    assert found == {}


def test_missing_parts_are_told_of_official_songs_alone(tmp_path: Path) -> None:
    for name in ("Actions - One Minute Smile", "Some - Body"):
        write_musdb_song(tmp_path / name, seconds=SECONDS)
        (tmp_path / name / "bass.wav").unlink()
    assert rows(tmp_path) == {"Actions - One Minute Smile/bass.wav": "no such file"}


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Songs of which a folder cannot be opened, also by root."""
    root = tmp_path / "songs"
    for name in ("A - B", "closed/C - D"):
        write_musdb_song(root / name, seconds=SECONDS)
    scan = os.scandir

    def refuse(path: object = ".") -> object:
        if os.fspath(path).endswith("closed"):  # type: ignore[call-overload]
            raise PermissionError(13, "Permission denied", path)
        return scan(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refuse)
    return root


def test_a_closed_folder_has_a_row(closed: Path) -> None:
    assert rows(closed) == {"closed": "is a folder that cannot be opened (Permission denied)"}


def test_songs_of_the_last_catalog_are_not_dropped_because_a_folder_is_closed(
    closed: Path, tmp_path: Path
) -> None:
    work = WorkFolder.at(tmp_path / "out")
    (closed / "closed").rename(closed / "open")
    catalog_songs(closed, work, CatalogSettings(), work.reject_log(), 1, QUIET)
    (closed / "open").rename(closed / "elsewhere")
    (closed / "open").symlink_to("nowhere")
    with pytest.raises(DataError, match="the last catalog has 'musdb18hq/C - D' there"):
        catalog_songs(closed, work, CatalogSettings(), work.reject_log(), 1, QUIET)
    assert len(read_manifest(work.tracks, "tracks", Track).rows) == 2
    work.exclusions.write_text('{"path": "open"}\n')
    assert (
        len(catalog_songs(closed, work, CatalogSettings(), work.reject_log(), 1, QUIET).rows) == 2
    )


def test_where_nothing_can_be_used_the_reason_is_told_and_written(tmp_path: Path) -> None:
    write_musdb_song(tmp_path / "s/A - B", seconds=SECONDS)
    for file in (tmp_path / "s/A - B").iterdir():
        file.write_bytes(b"")
    work = WorkFolder.at(tmp_path / "out")
    with pytest.raises(DataError, match="no song can be used: 5 x is an empty file"):
        catalog_songs(tmp_path / "s", work, CatalogSettings(), work.reject_log(), 1, QUIET)
    assert len(work.read_rejects()) == 5
