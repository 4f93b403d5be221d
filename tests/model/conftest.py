"""A tiny data set of shards, built through the real codec, for the tests of the model side."""

from pathlib import Path

import pytest
import torch
from helpers.small_songs import tiny_settings, write_songs

from apollo_data.console import Console
from apollo_data.pipeline import build_h5
from apollo_data.workspace.folder import WorkFolder

torch.set_num_threads(1)  # the tests run in several processes


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of shards; read only."""
    folder = tmp_path_factory.mktemp("model")
    songs = write_songs(folder / "songs")
    build_h5(songs, WorkFolder.at(folder / "work"), tiny_settings(), 1, Console(quiet=True))
    return folder / "work" / "shards"
