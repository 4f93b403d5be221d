"""docs/architecture.md lists the packages that there are, and the files are short."""

import re
from pathlib import Path

import pytest

PAGE = Path("docs/architecture.md")
DISTRIBUTIONS = ("apollo_data", "apollo_model")
MOST_LINES = 400


def listed(distribution: str) -> list[str]:
    """Names in the first column of the distribution's table, a folder with a slash at its end."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.split(f"\n## `{distribution}`", 1)[1].split("\n## ", 1)[0]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in first for name in re.findall(r"`([^`]+)`", cell)]


def present(distribution: str) -> set[str]:
    packages = {f"{path.parent.name}/" for path in Path(distribution).glob("*/__init__.py")}
    modules = {path.name for path in Path(distribution).glob("*.py") if path.stem != "__init__"}
    return packages | modules


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_package_and_module_is_listed_once_and_no_other(distribution: str) -> None:
    names = listed(distribution)
    assert sorted(names) == sorted(present(distribution))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_module_says_in_its_first_line_what_it_is_for(distribution: str) -> None:
    silent = [
        str(path)
        for path in Path(distribution).rglob("*.py")
        if not path.read_text(encoding="utf-8").startswith('"""')
    ]
    assert silent == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_no_file_is_too_long(distribution: str) -> None:
    lines = {
        str(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in Path(distribution).rglob("*.py")
    }
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
    assert len(lines) > 20


@pytest.mark.parametrize(
    "page",
    [Path("README.md"), Path("CONTRIBUTING.md"), *sorted(Path("docs").glob("*.md"))],
    ids=str,
)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    named = re.findall(
        r"`((?:apollo_data|apollo_model|tests|docs|pipelines|manifests|benchmarks)/[\w./-]+)`", text
    )
    missing += [name for name in named if "NAME" not in name and not Path(name).exists()]
    assert missing == []
