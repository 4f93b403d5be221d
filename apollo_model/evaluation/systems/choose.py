"""From what the command line says to systems, each with a name of its own."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from apollo_data.errors import SettingsError
from apollo_model.checkpoint.hub import is_hub_name
from apollo_model.evaluation.pairs import Pair
from apollo_model.evaluation.systems.baselines import COPY_UP, IDENTITY, CopyUp, Identity
from apollo_model.evaluation.systems.command import IN, OUT, CommandSystem
from apollo_model.evaluation.systems.folder import FolderSystem
from apollo_model.evaluation.systems.network import NetworkSystem
from apollo_model.evaluation.systems.system import CODEC, System

TARGET = "target"
_TAKEN = {CODEC: "the unrestored codec", TARGET: "the clean clip"}
_GIVEN_NAME = re.compile(r"([^=/{}]{1,80})=(.+)", re.DOTALL)


def choose_systems(
    texts: Iterable[str], pairs: Sequence[Pair], device: str = "cpu", align: bool = False
) -> list[System]:
    """Return the systems that texts such as ``mine=best.safetensors`` name.

    Behind the name, or alone, stands a checkpoint, a name on the Hugging Face hub, a folder of
    restored files, a command with ``{in}`` and ``{out}``, ``identity`` or ``copy-up``. Without
    a name a file lends its own; of equal ones the folders tell them apart.

    Raises
    ------
    SettingsError
        A name is given twice or taken, or it is not clear what is meant.
    DataError
        A checkpoint or folder cannot be used.
    """
    parsed = [split_name(text) for text in texts]
    given = [name for name, _ in parsed if name]
    for name in given:
        if given.count(name) > 1:
            raise SettingsError(f"--system: two systems are called {name!r}; give each its own")
        _check_name(name)
    names = _unique_names(parsed)
    return [
        _system(name, what, pairs, device, align)
        for name, (_, what) in zip(names, parsed, strict=True)
    ]


def split_name(text: str) -> tuple[str | None, str]:
    """Return the name, if one is given, and what stands behind it.

    Examples
    --------
    >>> split_name("mine=runs/a/best.safetensors")
    ('mine', 'runs/a/best.safetensors')
    >>> split_name("runs/x=1/best.safetensors")
    (None, 'runs/x=1/best.safetensors')
    """
    found = _GIVEN_NAME.fullmatch(text)
    if not found or Path(text).exists():
        return None, text
    return found[1].strip(), found[2].strip()


def _check_name(name: str) -> None:
    if name in _TAKEN:
        raise SettingsError(f"--system: {name!r} is {_TAKEN[name]}; call the system otherwise")
    if not name or not name.isprintable() or name.startswith(".") or name != name.strip():
        raise SettingsError(f"--system: {name!r} is no name for a row of a table")


def _unique_names(parsed: Sequence[tuple[str | None, str]]) -> list[str]:
    """Name what has no name after its file, with as many folders before it as tell it apart."""
    given = {name for name, _ in parsed if name}
    parts = {number: _own_parts(what) for number, (name, what) in enumerate(parsed) if not name}
    depth = dict.fromkeys(parts, 1)
    while True:
        names = {number: _joined(own, depth[number]) for number, own in parts.items()}
        for own in names.values():
            _check_name(own)
        clashing = [
            number
            for number, own in names.items()
            if own in given or list(names.values()).count(own) > 1
        ]
        growing = [number for number in clashing if depth[number] < len(parts[number])]
        if not growing:
            break
        for number in growing:
            depth[number] += 1
    if clashing:
        twice = parsed[clashing[0]][1]
        raise SettingsError(f"--system: {twice} is given twice; name one, as in NAME={twice}")
    return [name or names[number] for number, (name, _) in enumerate(parsed)]


def _own_parts(what: str) -> list[str]:
    """Return what a name can be made of, the last part first."""
    if IN in what or OUT in what:
        return [Path(what.split()[0]).name]
    if what in (IDENTITY, COPY_UP) or (is_hub_name(what) and not Path(what).exists()):
        return [what.replace("/", " ")]
    path = Path(what).absolute()
    stem = path.name if path.is_dir() else path.stem
    return [_printable(part) for part in (stem, *reversed(path.parent.parts[1:]))]


def _printable(text: str) -> str:
    shown = "".join(character if character.isprintable() else "_" for character in text)
    return shown.lstrip(".").strip() or "_"


def _joined(parts: Sequence[str], depth: int) -> str:
    return "/".join(reversed(parts[:depth]))


def _system(name: str, what: str, pairs: Sequence[Pair], device: str, align: bool) -> System:
    if IN in what or OUT in what:
        return CommandSystem(name, what, align)
    path = Path(what)
    if path.is_dir():
        return FolderSystem(name, path, pairs, align)
    if what == IDENTITY and not path.exists():
        return Identity(name)
    if what == COPY_UP and not path.exists():
        return CopyUp(name)
    return NetworkSystem(name, what, device)
