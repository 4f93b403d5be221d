import re
from pathlib import Path

import pytest

from apollo_data.errors import SettingsError
from apollo_data.settings import Settings, load_settings, parse_settings, settings_toml


def load(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "mine.toml").write_text(text)
    return load_settings(tmp_path / "mine.toml")


def test_the_defaults_are_the_papers() -> None:
    settings = load_settings(None)
    assert settings.mixing.gain_db == (-10.0, 10.0)
    assert (settings.mixing.min_stems, settings.mixing.max_stems) == (1, 8)
    assert settings.codec.bitrates_kbps == (24, 32, 48, 64, 96, 128)
    assert (settings.network.feature_dim, settings.network.layers) == (256, 6)
    training = settings.training
    assert (training.generator_learning_rate, training.discriminator_learning_rate) == (1e-3, 1e-4)
    assert (training.decay, training.decay_epochs) == (0.98, 2)
    assert (training.gradient_norm, training.patience_epochs) == (5.0, 20)


@pytest.mark.parametrize("path", sorted(Path("pipelines").glob("*.toml")), ids=str)
def test_committed_pipelines_are_valid_and_named_after_their_files(path: Path) -> None:
    assert load_settings(path).name == path.stem


def test_a_file_states_only_what_differs(tmp_path: Path) -> None:
    settings = load(tmp_path, "[mixing]\nmax_stems = 4\n")
    assert settings.name == "mine"
    assert settings.mixing.max_stems == 4
    assert settings.mixing.min_stems == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[mixing]\nmax_stem = 3", "unknown setting 'mixing.max_stem'; did you mean 'max_stems'"),
        ("[training.loss]\nwave = 1", "unknown setting 'training.loss.wave'"),
        ("[mixng]\nmax_stems = 3", "did you mean 'mixing'"),
        ("[mixing]\nmax_stems = 12", "mixing.max_stems"),
        ("[mixing]\nmin_stems = 5\nmax_stems = 4", "min_stems must not be above max_stems"),
        ("[codec]\nbitrates_kbps = [40]", "codec.bitrates_kbps"),
        ("[codec]\nbitrates_kbps = []", "codec.bitrates_kbps"),
        ("[mixing", "is not TOML"),
        ("name = '../x'", "name"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read"):
        load_settings(Path("nowhere.toml"))


def test_a_bare_name_is_a_pipeline_of_the_software_unless_it_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = load_settings(Path("pipelines/demo.toml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper").mkdir()
    assert load_settings(Path("demo")) == committed
    assert load_settings(Path("paper")).name == "paper"
    (tmp_path / "demo").write_text("name = 'mine'")
    assert load_settings(Path("demo")).name == "mine"
    with pytest.raises(SettingsError, match=r"pipeline 'dmo'.*one of .*demo.*paper"):
        load_settings(Path("dmo"))
    with pytest.raises(SettingsError, match=r"other/demo: cannot be read"):
        load_settings(Path("other/demo"))


def test_settings_travel_as_toml(tmp_path: Path) -> None:
    settings = parse_settings({"name": "x", "training": {"loss": {"waveform": 0.5}}}, "test")
    assert load(tmp_path, settings_toml(settings)) == settings
