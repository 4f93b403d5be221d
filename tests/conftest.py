"""Fixtures for all tests."""

import signal
from pathlib import Path

import pytest
from helpers.small_songs import write_songs

# A shell starts background jobs with SIGINT ignored, and so would be every program the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small songs; read only."""
    return write_songs(tmp_path_factory.mktemp("songs"))
