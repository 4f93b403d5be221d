"""One build of the small songs for all tests of the data side, and copies to do harm to."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.small_songs import small_settings

from apollo_data.console import Console
from apollo_data.pipeline import build_h5
from apollo_data.workspace.folder import WorkFolder


@pytest.fixture(scope="session")
def built(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of a finished build with `small_settings`; read only."""
    out = tmp_path_factory.mktemp("builds") / "built"
    build_h5(songs, WorkFolder.at(out), small_settings(), 1, Console(quiet=True))
    return out


@pytest.fixture
def built_copy(built: Path) -> Iterator[Path]:
    """A copy of `built` beside it, so that its paths still lead to the songs."""
    copy = built.parent / f"copy-{os.urandom(4).hex()}"
    shutil.copytree(built, copy)
    yield copy
    shutil.rmtree(copy)


@pytest.fixture
def own_songs(songs: Path, tmp_path: Path) -> Path:
    """A copy of the songs that the test may change."""
    return Path(shutil.copytree(songs, tmp_path / "songs"))


@pytest.fixture
def built_with_songs(songs: Path, built: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of the songs and of `built`, as far from each other as those are."""
    own = tmp_path / songs.name
    shutil.copytree(songs, own)
    out = tmp_path / "builds" / "out"
    shutil.copytree(built, out)
    return own, out
