"""Choose the ffmpeg to use: the pinned one, unless the system's is much faster.

Two builds of ffmpeg do not give the same bytes (measured: from the first clip on), so a small gain
is not worth another data set. The measurement is kept in the user's cache folder.
"""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import imageio_ffmpeg
import platformdirs

from apollo_data.errors import ToolError
from apollo_data.storage import key_of, write_text

MUCH_FASTER = 1.5
_NOISE = "anoisesrc=seed=1:sample_rate=44100:duration=10"
_RUNS = 3
_TIMEOUT_SECONDS = 60.0


def choose_ffmpeg() -> str:
    """Return `$APOLLO_FFMPEG`, or the better one of imageio-ffmpeg's and the system's.

    Raises
    ------
    ToolError
        There is none, or none that can write MP3.
    """
    if named := os.environ.get("APOLLO_FFMPEG"):
        _require_mp3(named)
        return named
    found = [program for program in (_bundled_ffmpeg(), shutil.which("ffmpeg")) if program]
    if not found:
        raise ToolError("no ffmpeg: `pip install imageio-ffmpeg`, or name one in $APOLLO_FFMPEG")
    usable = [program for program in dict.fromkeys(found) if _writes_mp3(program)]
    if not usable:
        _require_mp3(found[0])
    return usable[0] if len(usable) == 1 else _remembered(usable)


def _bundled_ffmpeg() -> str | None:
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        return None


def _writes_mp3(program: str) -> bool:
    with contextlib.suppress(ToolError):
        _require_mp3(program)
        return True
    return False


def _require_mp3(program: str) -> None:
    try:
        encoders = subprocess.run(
            [program, "-hide_banner", "-encoders"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
        ).stdout
    except OSError as error:
        raise ToolError(f"{program}: cannot be run ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{program}: does not answer; name another in $APOLLO_FFMPEG") from None
    if "libmp3lame" not in encoders:
        raise ToolError(
            f"{program}: has no MP3 encoder (libmp3lame); name another in $APOLLO_FFMPEG"
        )


def _remembered(programs: Sequence[str]) -> str:
    """Return the choice among programs, measured when they are seen for the first time."""
    memory = Path(platformdirs.user_cache_dir("apollo-toolkit")) / "ffmpeg.json"
    states = [(program, Path(program).stat()) for program in programs]
    key = key_of([(program, state.st_size, state.st_mtime_ns) for program, state in states])
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if (chosen := json.loads(memory.read_text("utf-8")).get(key)) in programs:
            return str(chosen)
    chosen = fastest(programs)
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_text(memory, json.dumps({key: chosen}) + "\n")
    return chosen


def fastest(programs: Sequence[str]) -> str:
    """Return the first program, or the fastest if that is `MUCH_FASTER`."""
    seconds = {program: _cpu_seconds(program) for program in programs}
    quickest = min(programs, key=seconds.__getitem__)
    return quickest if seconds[programs[0]] > MUCH_FASTER * seconds[quickest] else programs[0]


def _cpu_seconds(program: str) -> float:
    """Return the CPU time of an MP3 round trip of 10 s: the least of some, start included."""
    with tempfile.TemporaryDirectory(prefix="apollo-ffmpeg-") as folder:
        quiet = [program, "-nostdin", "-loglevel", "error", "-y"]
        coded = str(Path(folder) / "noise.mp3")
        encode = [*quiet, "-f", "lavfi", "-i", _NOISE, "-ac", "2", "-b:a", "64k", coded]
        decode = [*quiet, "-i", coded, "-f", "null", "-"]
        return min(_timed(encode) + _timed(decode) for _ in range(_RUNS))


def _timed(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return float("inf")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent if done.returncode == 0 else float("inf")
