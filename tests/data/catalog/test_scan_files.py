"""Files are looked at once, even by a run that does not come to its end."""

from pathlib import Path

import pytest
from helpers.small_songs import write_musdb_song

from apollo_data.audio.scan_file import scan_file
from apollo_data.catalog import scan_files as scan_files_module
from apollo_data.catalog.scan_files import scan_files
from apollo_data.console import Console
from apollo_data.records import FileFacts
from apollo_data.settings import CatalogSettings

QUIET = Console(quiet=True)


class Listener:
    """Looks at files and remembers which; breaks off after so many."""

    def __init__(self, most: int = 1000) -> None:
        self.seen: list[str] = []
        self._most = most

    def __call__(self, path: Path, root: Path, settings: CatalogSettings) -> FileFacts:
        if len(self.seen) == self._most:
            raise KeyboardInterrupt
        self.seen.append(path.name)
        return scan_file(path, root, settings)


def look(
    root: Path, out: Path, monkeypatch: pytest.MonkeyPatch, listener: Listener, **settings: bool
) -> dict[str, FileFacts]:
    monkeypatch.setattr(scan_files_module, "scan_file", listener)
    files = sorted(root.rglob("*.wav"))
    found = scan_files(files, root, out / "files.jsonl", CatalogSettings(**settings), 1, QUIET)
    return {path.name: row for path, row in found.items()}


def test_only_new_and_changed_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = tmp_path / "songs", tmp_path / "out"
    write_musdb_song(root, seconds=0.5)
    first = Listener()
    found = look(root, out, monkeypatch, first)
    assert len(first.seen) == 5
    again = Listener()
    assert look(root, out, monkeypatch, again) == found
    assert again.seen == []
    (root / "bass.wav").write_bytes(b"changed")
    (root / "drums.wav").unlink()
    changed = Listener()
    rows = look(root, out, monkeypatch, changed)
    assert changed.seen == ["bass.wav"]
    assert rows["bass.wav"].problem
    assert "drums.wav" not in rows
    other = Listener()
    assert look(root, out, monkeypatch, other, sha256=True)["vocals.wav"].sha256
    assert len(other.seen) == 4


def test_an_interrupted_look_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = tmp_path / "songs", tmp_path / "out"
    write_musdb_song(root, seconds=0.5)
    with pytest.raises(KeyboardInterrupt):
        look(root, out, monkeypatch, Listener(most=3))
    rest = Listener()
    assert len(look(root, out, monkeypatch, rest)) == 5
    assert len(rest.seen) == 2
