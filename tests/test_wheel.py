"""The wheel, in an environment of its own, away from the checkout."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PIPELINE = """
[mixing]
clip_seconds = 1.0
[shards]
train_clips = 4
valid_clips = 0
[evaluation]
per_category = 1
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the console scripts of an installed wheel; the dependencies are this Python's."""
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "environment"
    python = environment / "bin" / "python"
    call = {"check": True, "capture_output": True, "timeout": 120}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=Path(__file__).parents[1], **call)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], **call)
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet"]
    subprocess.run([*install, "--no-deps", "--no-index", wheel], **call)
    (site,) = environment.glob("lib/python*/site-packages")
    # A path file adds the folder alone, and not the editable installation that it points to.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return python.parent


@pytest.mark.slow
def test_an_installed_wheel_makes_songs_and_shards_outside_the_checkout(
    programs: Path, tmp_path: Path
) -> None:
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str) -> str:
        done = subprocess.run(
            [programs / command[0], *command[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = "import apollo_data, apollo_model; print(apollo_data.__file__, apollo_model.__file__)"
    for place in run("python", "-c", where).split():
        assert Path(place).is_relative_to(programs.parent)
        assert (Path(place).parent / "py.typed").is_file()
    run("apollo-data", "demo", "--out", "songs", "--songs", "4", "--seconds", "6")
    (tmp_path / "tiny.toml").write_text(PIPELINE)
    run("apollo-data", "build-h5", "--config", "tiny.toml", "--in", "songs", "--workers", "2")
    assert list(tmp_path.glob("data/tiny/shards/train/shard-*.h5"))
    run("apollo-data", "mix", "--config", "demo", "--in", "songs", "--out", "data/demo")
    assert (tmp_path / "data/demo/mixes.jsonl").is_file()
    assert "Example" in run("apollo-model", "train", "--help")
