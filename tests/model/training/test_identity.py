"""What a run may not change while it goes on is named when it does."""

from pathlib import Path

import pytest
import torch
from helpers.small_songs import small_settings, tiny_settings, write_songs
from helpers.training_runs import QUIET, WAVEFORM, run

from apollo_data.errors import DataError
from apollo_data.pipeline import build_h5
from apollo_data.settings import Settings
from apollo_data.workspace.folder import WorkFolder
from apollo_model.training.run_identity import refuse_other_run, run_identity


def identity(settings: Settings, per_step: int = 1) -> dict[str, object]:
    return run_identity(settings, {}, per_step, None)


def refusal(saved: dict[str, object], now: dict[str, object]) -> str:
    with pytest.raises(DataError) as info:
        refuse_other_run(saved, now, Path("runs/x/last.pt"))
    return str(info.value)


def test_settings_that_matter_are_named() -> None:
    saved = identity(tiny_settings(loss=WAVEFORM))
    now = identity(tiny_settings(batch_size=3, generator_learning_rate=0.1, loss=WAVEFORM), 2)
    text = refusal(saved, now)
    assert "training.batch_size was 2, is 3" in text
    assert "training.generator_learning_rate was 0.001, is 0.1" in text
    assert "training.accumulate_steps x processes was 1, is 2" in text
    assert "seed" not in text


@pytest.mark.parametrize(
    "change",
    [
        {"max_epochs": 9},
        {"max_minutes": 3.0},
        {"loader_workers": 4},
        {"dtype": "bfloat16"},
        {"checkpoint_minutes": 1.0},
        {"keep_best": 3},
        {"max_bad_steps": 1},
        {"activation_checkpointing": True},
    ],
)
def test_how_long_and_how_fast_may_change(change: dict[str, object]) -> None:
    refuse_other_run(identity(tiny_settings()), identity(tiny_settings(**change)), Path("x"))


def test_settings_that_a_later_version_added_had_their_defaults() -> None:
    saved = identity(tiny_settings())
    del saved["settings"]["training"]["ema_decay"]  # type: ignore[index]
    del saved["settings"]["network"]["causal"]  # type: ignore[index]
    saved["settings"]["training"]["gone"] = 1  # type: ignore[index]
    refuse_other_run(saved, identity(tiny_settings()), Path("x"))
    text = refusal(saved, identity(tiny_settings(ema_decay=0.9)))
    assert "training.ema_decay was 0.0, is 0.9" in text


def test_live_mixing_is_bound_to_the_data_settings_too() -> None:
    def live(**changes: object) -> dict[str, object]:
        return identity(small_settings(training={"live": True}, **changes))

    assert "codec.bitrates_kbps was [24" in refusal(live(), live(codec={"bitrates_kbps": [64]}))
    shards = identity(small_settings())
    refuse_other_run(shards, identity(small_settings(codec={"bitrates_kbps": [64]})), Path("x"))


def test_other_shards_are_refused_with_what_differs(shards: Path, tmp_path: Path) -> None:
    settings = tiny_settings(max_epochs=1, loss=WAVEFORM)
    run(settings, shards, tmp_path / "out")
    songs = write_songs(tmp_path / "songs")
    low = settings.model_copy(
        update={"codec": settings.codec.model_copy(update={"bitrates_kbps": (24,)})}
    )
    build_h5(songs, WorkFolder.at(tmp_path / "low"), low, 1, QUIET)
    with pytest.raises(
        DataError, match=r"train shards: codec\.bitrates_kbps was \[24, 32.*is \[24\]"
    ):
        run(settings, tmp_path / "low/shards", tmp_path / "out")
    state = torch.load(tmp_path / "out/last.pt", weights_only=True)
    fewer = {**state["identity"], "shards": {**state["identity"]["shards"]}}
    fewer["shards"]["valid"] = {**fewer["shards"]["valid"], "rows": []}
    text = refusal(state["identity"], fewer)
    assert "valid shards hold other clips (were 1 shards, 2 pairs; are 0 shards, 0 pairs)" in text
    moved = tmp_path / "moved"
    moved.symlink_to(shards)
    assert run(settings, moved, tmp_path / "out").epochs == 1
