"""Every command line and every piece of Python in the documentation can be meant as it stands."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from apollo_data.cli import app as data_app
from apollo_model.cli import app as model_app

APPS = {"apollo-data": data_app, "apollo-model": model_app}
COMMANDS = {name: get_command(app).commands for name, app in APPS.items()}
PAGES = (Path("README.md"), Path("CONTRIBUTING.md"), *sorted(Path("docs").glob("*.md")))
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
OWN_PACKAGES = ("apollo_data", "apollo_model")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of each call of our programs in shell blocks and in code within a line."""
    whole = [
        line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()
    ]
    inline = re.findall(r"`((?:apollo-data|apollo-model) [^`]+)`", text)
    for line in (*whole, *inline):
        words: list[str] = []
        for word in shlex.split(line, comments=True):
            if word in ("|", "&&", ";"):
                yield from _calls(words)
                words = []
            else:
                words.append(word)
        yield from _calls(words)


def _calls(words: list[str]) -> Iterator[list[str]]:
    for place, word in enumerate(words):
        if Path(word).name in APPS and place + 1 < len(words):
            yield [Path(word).name, *words[place + 1 :]]
            return


def options_of(program: str, command: str) -> set[str]:
    parameters: list[Any] = COMMANDS[program][command].params
    return {"--help", *(name for item in parameters for name in (*item.opts, *item.secondary_opts))}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_documented_command_and_option_exists(page: Path) -> None:
    for program, command, *words in command_lines(TEXT[page]):
        assert command in COMMANDS[program], f"{page}: {program} {command}"
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        unknown = given - options_of(program, command)
        assert not unknown, f"{page}: {program} {command} has no {sorted(unknown)}"


def test_make_and_the_scripts_call_what_there_is() -> None:
    script = Path("pipelines/slurm_array.sh").read_text(encoding="utf-8")
    recipes = re.findall(r"^\t(.*)$", Path("Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    texts = (*recipes, *re.findall(r"apollo-data [^\"&]+", script))
    calls = [call for text in texts if "apollo-" in text for call in _calls(text.split())]
    assert len(calls) == 6
    for program, command, *words in calls:
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= options_of(program, command)


def test_command_lines_are_found() -> None:
    found = [call for text in TEXT.values() for call in command_lines(text)]
    assert len(found) > 40
    piped = list(command_lines("```sh\nx -i a - \\\n  | apollo-model stream --channels 1 | y\n```"))
    assert piped == [["apollo-model", "stream", "--channels", "1"]]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_documented_python_compiles_and_imports_what_there_is(page: Path) -> None:
    for block in blocks(TEXT[page], "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(OWN_PACKAGES):
                module = importlib.import_module(node.module or "")
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert not missing, f"{page}: {node.module} has no {missing}"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_documented_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", Path("Makefile").read_text(), re.MULTILINE))
    in_blocks = re.findall(r"^make ([a-z]+)", "\n".join(blocks(TEXT[page], "sh")), re.MULTILINE)
    named = {*in_blocks, *re.findall(r"`make ([a-z]+)[^`]*`", TEXT[page])}
    assert named <= targets


@pytest.mark.parametrize(
    ("program", "command"),
    [(program, command) for program, commands in COMMANDS.items() for command in commands],
)
def test_every_command_has_help_an_example_and_stands_in_the_readme(
    program: str, command: str
) -> None:
    shown = CliRunner().invoke(APPS[program], [command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "Example:" in shown.output
    assert f"{program} {command}" in shown.output
    assert f"`{program} {command}" in TEXT[Path("README.md")]
    (example,) = re.findall(r"Example: `([^`]+)`", COMMANDS[program][command].help or "")
    for _, name, *words in command_lines(f"`{example}`"):
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= options_of(program, name)
