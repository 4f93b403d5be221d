import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers.small_songs import tiny_settings

from apollo_data.errors import DataError
from apollo_data.shards import ShardReader, find_shards
from apollo_model.dataset import LiveMixDataset, PairLoader, collate_pairs


def stored_rows(shards: Path) -> tuple[np.ndarray, np.ndarray]:
    """All coded and clean clips of the train shards, as they are stored."""
    coded, clean = [], []
    for path in find_shards(shards, "train"):
        with ShardReader(path) as shard:
            for pair in range(shard.pairs):
                coded.append(shard.read_coded(pair))
                clean.append(shard.read_target(shard.target_index[pair]))
    return np.stack(coded), np.stack(clean)


def live(work: Path, **options: object) -> LiveMixDataset:
    return LiveMixDataset(work, tiny_settings(), **options)


def test_the_first_epoch_is_what_the_shards_hold(shards: Path) -> None:
    dataset = live(shards.parent, as_stored=True)
    assert len(dataset) == 6
    batch = collate_pairs(dataset.__getitems__(range(6)))
    for found, expected in zip(batch, stored_rows(shards), strict=True):
        assert found.dtype == torch.int16
        np.testing.assert_array_equal(found.numpy(), expected)
    coded, clean = live(shards.parent)[4]
    assert coded.dtype == torch.float32
    np.testing.assert_allclose(clean, stored_rows(shards)[1][4] / 32767, atol=1e-6)


def test_activity_of_other_settings_is_refused(shards: Path) -> None:
    settings = tiny_settings()
    activity = settings.activity.model_copy(update={"onset_db": -30.0})
    other = settings.model_copy(update={"activity": activity})
    with pytest.raises(DataError, match=r"activity\.onset_db changed\); run `apollo-data sad`"):
        LiveMixDataset(shards.parent, other)


def test_epochs_go_on_through_the_recipes(shards: Path) -> None:
    short = live(shards.parent, length=2, as_stored=True)
    coded, clean = stored_rows(shards)
    short.set_epoch(2)
    assert short.recipe(1).index == 5
    found = short[1]
    np.testing.assert_array_equal(found[0], coded[5])
    np.testing.assert_array_equal(found[1], clean[5])
    with pytest.raises(IndexError):
        short[2]


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_make_the_same_batches(shards: Path, method: str, workers: int) -> None:
    options = {"length": 4, "crop_samples": 1000}
    here = PairLoader(live(shards.parent, **options), 2)
    there = PairLoader(live(shards.parent, **options), 2, workers=workers, start_method=method)
    for loader in (here, there):
        loader.set_epoch(1)
    for first, second in zip(here, there, strict=True):
        assert all(map(torch.equal, first, second))


@pytest.fixture
def damaged(shards: Path, tmp_path: Path) -> Path:
    """A working folder where each vocal stem is damaged and each bass stem silent."""
    source = shards.parent.parent
    shutil.copytree(source / "songs", tmp_path / "songs")
    (tmp_path / "work").mkdir()
    for name in ("tracks.jsonl", "activity.jsonl"):
        shutil.copyfile(source / "work" / name, tmp_path / "work" / name)
    for path in (tmp_path / "songs").rglob("vocals*.wav"):
        path.write_bytes(b"RIFF")
    for path in (tmp_path / "songs").rglob("bass*.wav"):
        sound, rate = soundfile.read(path)
        soundfile.write(path, 0 * sound, rate, subtype="PCM_16")
    return tmp_path / "work"


def test_bad_clips_are_replaced_and_counted(damaged: Path, shards: Path) -> None:
    dataset = live(damaged, length=12, as_stored=True)
    bad = [index for index in range(12) if is_bad(dataset, index)]
    assert 0 < len(bad) < 12
    with pytest.warns(RuntimeWarning, match="clips cannot be made, others take their places"):
        batch = dataset.__getitems__(range(12))
    assert dataset.skipped >= len(bad)
    assert all(clean.any() for _, clean in batch)
    whole = live(shards.parent, length=12, as_stored=True)
    untouched = [n for n in range(12) if not {"vocals", "bass"} & classes_of(dataset, n)]
    assert untouched
    for index in untouched:
        assert torch.equal(batch[index][0], whole[index][0])
    loader = PairLoader(live(damaged, length=12, as_stored=True), 3, workers=1)
    loader._batches.order = lambda: np.arange(12)  # type: ignore[method-assign]
    assert torch.equal(torch.cat([coded for coded, _ in loader]), batch.whole[0])
    assert loader.dataset.skipped == dataset.skipped


def classes_of(dataset: LiveMixDataset, index: int) -> set[str]:
    recipe = dataset.recipe(index)
    if recipe.mixture is not None:  # a MoisesDB song's is the sum of all its sources
        return {"vocals"} if recipe.mixture.sources else {"mixture"}
    return {stem.stem_class for stem in recipe.stems}


def is_bad(dataset: LiveMixDataset, index: int) -> bool:
    classes = classes_of(dataset, index)
    return "vocals" in classes or classes == {"bass"}


def test_a_folder_where_nothing_can_be_made_ends_the_run(damaged: Path) -> None:
    for path in (damaged.parent / "songs").rglob("*.wav"):
        path.write_bytes(b"RIFF")
    with (
        pytest.warns(RuntimeWarning, match="2 clips cannot be made"),
        pytest.raises(DataError, match="4 clips in a row cannot be made"),
    ):
        live(damaged).__getitems__([0, 1])
    with pytest.raises(DataError, match=r"^[^\n]*/songs: 4 clips in a row cannot be made[^\n]*$"):
        list(PairLoader(live(damaged), 2, workers=1))


def test_live_mixing_needs_a_working_folder_and_a_split_that_is_drawn(
    shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"tracks\.jsonl: no such manifest"):
        live(tmp_path)
    with pytest.raises(ValueError, match="live mixing is for train and valid"):
        live(shards.parent, split="test")
