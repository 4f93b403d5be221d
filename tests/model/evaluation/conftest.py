"""Test shards with clips of one second, long enough for every metric."""

from pathlib import Path

import pytest
from helpers.small_songs import small_settings, write_songs

from apollo_data.console import Console
from apollo_data.pipeline import build_h5
from apollo_data.workspace.folder import WorkFolder


@pytest.fixture(scope="session")
def second_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of shards with 8 test pairs: 4 categories, each at 24 and 64 kbit/s; read only."""
    folder = tmp_path_factory.mktemp("seconds")
    songs = write_songs(folder / "songs")
    settings = small_settings(
        shards={"train_clips": 0, "valid_clips": 0, "clips_per_shard": 4},
        evaluation={"per_category": 1, "bitrates_kbps": [24, 64]},
    )
    build_h5(songs, WorkFolder.at(folder / "work"), settings, 1, Console(quiet=True))
    return folder / "work" / "shards"
