"""Find ffmpeg once, and run graphs made with ffmpeg-python."""

import functools
import subprocess
from pathlib import Path
from typing import Any

import ffmpeg

from apollo_data.audio.ffmpeg_choice import choose_ffmpeg
from apollo_data.errors import AudioError

# Python's characters for bytes that are not UTF-8, and private characters in their place.
_HIDDEN = {0xDC00 + byte: 0x10FF00 + byte for byte in range(128, 256)}
_SHOWN = {hidden: code for code, hidden in _HIDDEN.items()}


@functools.cache
def find_ffmpeg() -> str:
    """Return the ffmpeg to use; see `apollo_data.audio.ffmpeg_choice`.

    Raises
    ------
    ToolError
        There is none, or it cannot write MP3.
    """
    return choose_ffmpeg()


@functools.cache
def ffmpeg_version() -> str:
    """Return the version of the ffmpeg in use, as it calls itself."""
    banner = subprocess.run(
        [find_ffmpeg(), "-version"], capture_output=True, text=True, timeout=60
    ).stdout
    return banner.split(" Copyright")[0].removeprefix("ffmpeg version ").strip()


def file_argument(path: Path) -> str:
    """Return a file's address for a graph; `run_ffmpeg` gives ffmpeg the name as it is on disk.

    ffmpeg-python takes only names that are UTF-8. Bytes of a name that are not are replaced by
    private characters here, and put back before ffmpeg runs.
    """
    return f"file:{path.resolve()}".translate(_HIDDEN)


def run_ffmpeg(graph: Any, timeout_seconds: float) -> None:
    """Run a graph made with ffmpeg-python; run it again if it hung or was killed.

    Raises
    ------
    AudioError
        ffmpeg failed, or took longer than `timeout_seconds` twice.
    """
    command = ffmpeg.compile(
        graph.global_args("-hide_banner", "-loglevel", "error", "-nostdin"),
        cmd=find_ffmpeg(),
        overwrite_output=True,
    )
    command = [word.translate(_SHOWN) for word in command]
    done = _run_once(command, timeout_seconds)
    if done is None or done.returncode < 0:  # usually because the machine is busy
        done = _run_once(command, timeout_seconds)
    if done is None:
        raise AudioError(f"ffmpeg took longer than {timeout_seconds:g} s, twice")
    if done.returncode != 0:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise AudioError(f"ffmpeg failed: {words[-1] if words else f'exit {done.returncode}'}")


def _run_once(
    command: list[str], timeout_seconds: float
) -> subprocess.CompletedProcess[bytes] | None:
    """Run a command and return the result; None if it took too long."""
    try:
        return subprocess.run(
            command, capture_output=True, timeout=timeout_seconds, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return None
