"""Fixtures for all tests."""

from pathlib import Path

import pytest
from small_songs import write_songs


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small songs; read only."""
    return write_songs(tmp_path_factory.mktemp("songs"))
