"""The workflow, the hooks, the pins and the site's navigation fit what they speak of."""

import re
import sys
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_workflow_runs_the_checks_on_every_supported_python() -> None:
    workflow = yaml.safe_load(Path(".github/workflows/checks.yml").read_text(encoding="utf-8"))
    assert set(workflow[True]) >= {"push", "pull_request"}  # YAML 1.1 reads the key `on` as true
    (job,) = workflow["jobs"].values()
    supported = [
        text.rpartition(" ")[2]
        for text in PROJECT["classifiers"]
        if re.search(r":: Python :: 3\.\d", text)
    ]
    assert job["strategy"]["matrix"]["python"] == supported
    steps = job["steps"]
    assert any("${{ matrix.python }}" in str(step.get("with", {})) for step in steps)
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    checks = Path(".ci/run")
    assert checks.stat().st_mode & 0o100
    assert "make lint\nmake docs\nmake test\n" in checks.read_text()


def test_hooks_run_programs_of_the_environment_without_a_network() -> None:
    configuration = yaml.safe_load(Path(".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = configuration["repos"]
    assert repository["repo"] == "local"
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    assert set(hooks) == {"ruff", "ruff-format", "mypy", "import-linter"}
    for hook in hooks.values():
        assert hook["language"] == "system"
        program = Path(hook["entry"].split()[0])
        assert program.parts[:2] == (".venv", "bin")
        assert (Path(sys.executable).parent / program.name).exists()


def test_every_dependency_has_a_pin() -> None:
    lines = Path("constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_name(line) for line in lines if line and not line.startswith("#")}
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    missing = {_name(need) for group in groups for need in group} - pinned
    assert missing == set()
    assert all("==" in line for line in lines if line and not line.startswith("#"))


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def test_the_site_lists_every_page() -> None:
    site = yaml.safe_load(Path("mkdocs.yml").read_text(encoding="utf-8"))
    listed = [
        page
        for entry in site["nav"]
        for page in ([entry] if isinstance(entry, str) else entry.values())
    ]
    assert sorted(listed) == sorted(path.name for path in Path("docs").glob("*.md"))
    index = Path("docs/index.md").read_text(encoding="utf-8")
    assert [page for page in listed if page != "index.md" and f"({page})" not in index] == []
    assert site["strict"] is True


@pytest.mark.parametrize("package", ["apollo_data", "apollo_model"])
def test_the_packages_are_typed(package: str) -> None:
    assert Path(package, "py.typed").is_file()
