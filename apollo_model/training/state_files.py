"""The state of a run on disk: saved whole, two kept, the older one read if the last is damaged."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_data.storage import remove_partials, whole_file
from apollo_model.dataset.loader import explain_loader_error

FORMAT = "apollo-training-state"
FORMAT_VERSION = 2
_LAST, _PREVIOUS, _KEPT = "last.pt", "previous.pt", "kept"
_LOCK = ".lock"


class StateFiles:
    """The saved states of a run folder: last.pt, previous.pt, kept/step-00001000.pt.

    Only for who holds the folder's lock.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console

    @property
    def last(self) -> Path:
        """Where the state is."""
        return self._folder / _LAST

    def save(self, state: dict[str, Any], keep_as_step: int | None = None) -> None:
        """Write a state; the one before becomes previous.pt.

        Parameters
        ----------
        state
            Tensors and plain values.
        keep_as_step
            Keep it for good, too, under this step's number.

        Raises
        ------
        DataError
            It cannot be written; the states on disk stay as they were.
        """
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **state}
        try:
            with whole_file(self.last) as temporary:
                torch.save(content, temporary)
                self._make_previous()
            if keep_as_step is not None:
                place = self._folder / _KEPT / f"step-{keep_as_step:08}.pt"
                place.parent.mkdir(exist_ok=True)
                _link(self.last, place)
        except (OSError, RuntimeError) as error:  # torch.save raises both on a full disk
            if explain_loader_error(error):  # torch raises this wherever the process is
                raise
            free = shutil.disk_usage(self._folder).free
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise DataError(
                f"{self.last}: the state cannot be written ({reason}; {free / 1e6:,.0f} MB are "
                "free); the state saved before it is unchanged: free some space and run the "
                "same command again"
            ) from None

    def _make_previous(self) -> None:
        if self.last.is_file():
            _link(self.last, self._folder / _PREVIOUS)

    def load(self) -> dict[str, Any] | None:
        """Return the last state that can be read, on the CPU, or None if there is none.

        Raises
        ------
        DataError
            There are states, and none can be read.
        """
        remove_partials(self._folder, below=False)
        problems = []
        for name in (_LAST, _PREVIOUS):
            path = self._folder / name
            if not path.is_file():
                continue
            try:
                state = _read(path)
            except DataError as error:
                problems.append(str(error))
                continue
            if problems or name != _LAST:
                why = f"{problems[0]}; " if problems else f"{self.last} is missing; "
                self._console.warn(f"{why}going on from {path}, the state saved before it")
            return state
        if problems:
            raise DataError(f"{problems[0]}; start anew with --fresh")
        return None

    def set_aside(self) -> Path | None:
        """Move what an earlier run left into a folder of its own; return it, if there was any."""
        left = [
            path
            for path in sorted(self._folder.iterdir())
            if path.name != _LOCK and not path.name.startswith("old-")
        ]
        if not left:
            return None
        number = 1
        while (old := self._folder / f"old-{number}").exists():
            number += 1
        old.mkdir()
        for path in left:
            path.rename(old / path.name)
        return old


def _link(source: Path, final: Path) -> None:
    """Let `final` be a second name of a file, or a copy where the file system has no links."""
    beside = final.with_name(f".{final.name}.link.partial")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except OSError:
        shutil.copyfile(source, beside)
    try:
        os.replace(beside, final)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common error for damaged files
        raise DataError(f"{path}: is damaged ({type(error).__name__})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        if isinstance(state, dict) and "trainer" in state:
            raise DataError(
                f"{path}: is a state of an earlier version of this program, which this one cannot "
                f"go on from; its best network can be trained further with --fresh --init "
                f"{path.with_name('best.safetensors')}"
            )
        raise DataError(f"{path}: is no training state")
    if state["format_version"] > FORMAT_VERSION:
        raise DataError(
            f"{path}: is a state of version {state['format_version']}, this program reads "
            f"{FORMAT_VERSION}; update it"
        )
    return state
