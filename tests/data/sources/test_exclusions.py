"""Exclusions: every way to write a row works, or the run says that it matches nothing."""

from pathlib import Path

import pytest
from helpers.small_songs import write_musdb_song

from apollo_data.catalog.source import catalog_songs
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.settings import CatalogSettings
from apollo_data.workspace.exclusion_file import read_exclusion_file
from apollo_data.workspace.folder import WorkFolder

HEADER = (
    '{"kind": "exclusions", "key": "", "root": ".", "format": "apollo-manifest", '
    '"format_version": 1}\n'
)
SONG = "train/Bänd 1 - Tune"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("songs")
    for name in ("Bänd 1 - Tune", "Band 2 - Tune"):
        write_musdb_song(root / "train" / name, seconds=0.2)
    return root


def songs_left(root: Path, out: Path, text: str) -> list[str]:
    work = WorkFolder.at(out)
    out.mkdir(exist_ok=True)
    work.exclusions.write_text(text, "utf-8")
    return [
        row.song
        for row in catalog_songs(
            root, work, CatalogSettings(), work.reject_log(), 1, Console(quiet=True)
        ).rows
    ]


@pytest.mark.parametrize("header", [HEADER, ""])
@pytest.mark.parametrize(
    "path",
    [
        SONG,
        f"{SONG}/",
        f"./{SONG}",
        f"train//{SONG[6:]}",
        "musdb18hq/Bänd 1 - Tune",
        "train/Ba\u0308nd 1 - Tune",
        "ROOT/train/Bänd 1 - Tune",
    ],
)
def test_every_way_to_write_a_path_works(
    root: Path, tmp_path: Path, path: str, header: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = path.replace("ROOT", str(root))
    assert songs_left(root, tmp_path / "o", f'{header}{{"path": "{path}", "reason": "x"}}\n') == [
        "musdb18hq/Band 2 - Tune"
    ]
    assert "matches nothing" not in capsys.readouterr().err


def test_a_row_that_matches_nothing_is_told(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(songs_left(root, tmp_path / "o", '{"path": "train/Band 1 - Tun"}\n')) == 2
    assert "'train/Band 1 - Tun' matches nothing below" in capsys.readouterr().err


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "exclusions.jsonl"
    path.write_text('{"path": "a"}\nnot json\n')
    with pytest.raises(DataError, match="row 2 cannot be read"):
        read_exclusion_file(path)


def test_exclusions_of_check_are_honoured_by_a_build_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("A - B", "C - D"):
        write_musdb_song(Path("songs/train") / name, seconds=0.2)
    Path("data/songs").mkdir(parents=True)
    header = HEADER.replace('"root": "."', '"root": "../../songs"')
    Path("data/songs/exclusions.jsonl").write_text(f'{header}{{"path": "train/A - B"}}\n')
    work = WorkFolder.at(Path("data/mine"))
    found = catalog_songs(Path("songs"), work, CatalogSettings(), work.reject_log(), 1, Console())
    assert [row.song for row in found.rows] == ["musdb18hq/C - D"]
    assert "data/songs/exclusions.jsonl are honoured" in capsys.readouterr().err
