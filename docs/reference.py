"""Adds the reference to the site: one page a package, from its docstrings, and one of all commands.

The packages and their order are those of the import-linter contracts in pyproject.toml, which
list every package. So a new package has its page without being listed a second time.
"""

import importlib
import logging
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {"apollo-data": "apollo_data.cli", "apollo-model": "apollo_model.cli"}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to the site and to its navigation."""
    logging.getLogger("mkdocs.structure.files").setLevel(logging.WARNING)
    listed = {page for entry in config.nav for page in _pages(entry)}
    for file in sorted(files.documentation_pages(), key=lambda file: file.src_uri):
        if file.src_uri not in listed:
            config.nav.append(file.src_uri)
    sections: dict[str, list[dict[str, str]]] = {}
    for package, module in modules():
        page = f"reference/{package}.{module}.md"
        text = f"# {package}.{module}\n\n::: {package}.{module}\n"
        files.append(File.generated(config, page, content=text))
        sections.setdefault(package, []).append({module: page})
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    config.nav.append({"Commands": "reference/commands.md"})
    config.nav.extend({f"API: {package}": pages} for package, pages in sections.items())
    return files


def _pages(entry: Any) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry.values())


def modules() -> list[tuple[str, str]]:
    """Return (distribution, package) of everything that is documented, in the order of the data."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = []
    for contract in configuration["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            (package,) = contract["containers"]
            for layer in reversed(contract["layers"]):
                names = layer.replace("|", " ").replace(":", " ").split()
                found += [(package, name) for name in names if name != "cli"]
    return found


def commands() -> str:
    """Return a page with the help of every command and all its options."""
    from typer.main import get_command

    lines = ["# Commands\n"]
    for program, module in PROGRAMS.items():
        group = get_command(importlib.import_module(module).app)
        for name, command in group.commands.items():  # type: ignore[attr-defined]
            lines += [f"## {program} {name}\n", (command.help or "").strip() + "\n"]
            lines += ["| option | meaning |", "| --- | --- |"]
            lines += [_row(parameter) for parameter in command.params]
            lines.append("")
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    names = [parameter.name.upper()]
    if parameter.param_type_name == "option":
        names = [*parameter.opts, *parameter.secondary_opts]
    meaning = (getattr(parameter, "help", None) or "").replace("|", "\\|").replace("\n", " ")
    return f"| {', '.join(f'`{name}`' for name in names)} | {meaning} |"
