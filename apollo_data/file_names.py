"""File names of any bytes: compare them, find them, hash them, show them.

A name on disk is a row of bytes. Python keeps bytes that are not UTF-8 as lone surrogates.
Unicode has two forms of many letters (NFC and NFD), and file systems keep either.
"""

import os
import unicodedata
from pathlib import Path


def normal_form(name: str) -> str:
    """Return the form in which two names that look the same are equal (NFC).

    Examples
    --------
    >>> normal_form("Cafe" + chr(0x301)) == "Caf" + chr(0xE9)
    True
    """
    return unicodedata.normalize("NFC", name)


def find_named(path: Path) -> Path:
    """Return `path`, or the file of the same name in another Unicode form or letter case.

    A path that does not exist in any form comes back as it is.
    """
    if os.path.lexists(path) or path.parent == path:
        return path
    folder = find_named(path.parent)
    try:
        names = sorted(item.name for item in folder.iterdir())
    except OSError:
        return path
    wanted = normal_form(path.name)
    for name in names:
        if normal_form(name) == wanted:
            return folder / name
    for name in names:
        if normal_form(name).casefold() == wanted.casefold():
            return folder / name
    return path


def path_text(path: Path, root: Path) -> str:
    """Return a path as manifests hold it: relative to `root` where it lies below it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def to_bytes(text: str) -> bytes:
    """Return text as UTF-8 for hashing; lone surrogates stay different from each other."""
    return text.encode("utf-8", "surrogatepass")


def showable(text: str) -> str:
    r"""Return text that every program can show: what is not Unicode becomes U+FFFD.

    Examples
    --------
    >>> showable("Beyonc\udce9") == "Beyonc" + chr(0xFFFD)
    True
    """
    return "".join("\ufffd" if 0xD800 <= ord(letter) <= 0xDFFF else letter for letter in text)
