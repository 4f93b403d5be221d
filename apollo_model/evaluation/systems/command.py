"""Any program that reads a file and writes one."""

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from apollo_data.errors import SettingsError
from apollo_data.storage import key_of
from apollo_data.workspace.temporary_folders import scratch_folder
from apollo_model.evaluation.pairs import Pair
from apollo_model.evaluation.systems.delivery import SCRATCH, fitted, read_result
from apollo_model.evaluation.systems.system import Restored, System, SystemFailure

Array = npt.NDArray[Any]

IN, OUT = "{in}", "{out}"
TIMEOUT_SECONDS = 600.0


class CommandSystem(System):
    """A command line that is called for each clip; no shell reads it.

    Parameters
    ----------
    name
        As the tables have it.
    command
        With ``{in}`` and ``{out}``, which become paths of WAV files.
    align
        Move shifted results back to their place.

    Raises
    ------
    SettingsError
        The command lacks one of the two, or its quotes do not match.
    """

    kind = "command"

    def __init__(self, name: str, command: str, align: bool = False) -> None:
        super().__init__(name)
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise SettingsError(f"--system {name}: {command!r} cannot be read ({error})") from None
        for place in (IN, OUT):
            if not any(place in word for word in self._words):
                raise SettingsError(f"--system {name}: the command has no {place}: {command!r}")
        self._align = align

    @property
    def key(self) -> str:
        """The command's words; a program that changed behind them is not noticed."""
        return key_of(self.kind, self._words, self._align)

    def restore(self, coded: Array, sample_rate: int, pair: Pair) -> Restored:
        """Write the clip, run the command, read what it wrote."""
        with scratch_folder(Path(tempfile.gettempdir()), SCRATCH) as folder:
            source, result = (folder / side / f"{pair.name}.wav" for side in ("in", "out"))
            source.parent.mkdir()
            result.parent.mkdir()
            try:
                _write(source, coded, sample_rate)
            except (OSError, soundfile.LibsndfileError) as error:
                raise SystemFailure(f"{folder}: cannot be written ({error})") from None
            self._run(source, result)
            if not result.is_file():
                raise SystemFailure(f"{self._words[0]} wrote no {OUT}")
            audio, rate = read_result(result)
        return fitted(audio, rate, coded, sample_rate, self._align)

    def _run(self, source: Path, result: Path) -> None:
        words = [word.replace(IN, str(source)).replace(OUT, str(result)) for word in self._words]
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise SystemFailure(f"{words[0]}: cannot be run ({error.strerror})") from None
        try:
            _, errors = process.communicate(timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise SystemFailure(f"{words[0]} took longer than {TIMEOUT_SECONDS:g} s") from None
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            lines = errors.decode("utf-8", "replace").strip().splitlines()
            said = f": {lines[-1][:200]}" if lines else ""
            raise SystemFailure(f"{words[0]} ended with status {process.returncode}{said}")


def _write(path: Path, audio: Array, sample_rate: int) -> None:
    """Write 16 bits where they hold the clip exactly, else floating point."""
    samples = np.rint(audio * np.float32(32767.0))
    if np.array_equal(samples.astype(np.float32) / np.float32(32767.0), audio):
        soundfile.write(path, samples.astype(np.int16).T, sample_rate, "PCM_16")
    else:
        soundfile.write(path, audio.T, sample_rate, "FLOAT")
