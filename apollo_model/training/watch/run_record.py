"""run.json and settings.toml: what a run was made with, session by session."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import apollo_data
from apollo_data.settings import settings_toml
from apollo_data.storage import write_text
from apollo_model.training.observers import Observer, RunStart

RECORD, SETTINGS = "run.json", "settings.toml"
_PACKAGES = ("torch", "numpy", "scipy", "h5py", "torchmetrics", "soundfile", "safetensors")
_VARIABLES = ("OMP_", "MKL_", "CUDA_", "NCCL_", "TORCH_", "PYTORCH_", "SLURM_JOB_ID", "WORLD_SIZE")
_GIT_SECONDS = 10


class RunRecord(Observer):
    """Writes run.json and settings.toml.

    run.json holds the shards' identity, the codec's scores and a list of sessions. Each has
    its command, times, versions, git revision, device and environment, and how it ended.
    """

    def __init__(self) -> None:
        self._path = Path()
        self._record: dict[str, Any] = {}

    def on_start(self, start: RunStart) -> None:
        """Add a session; those of an earlier run in the folder are dropped."""
        self._path = start.folder / RECORD
        sessions = _read_sessions(self._path) if start.step else []
        sessions.append(
            {
                "started": _now(),
                "from_step": start.step,
                "command": shlex.join(sys.argv),
                "device": _device(start.device),
                "processes": start.processes,
                "git": git_revision(),
                "versions": _versions(),
                "machine": _machine(),
                "environment": _environment(os.environ),
            }
        )
        self._record = {
            "name": start.settings.name,
            "parameters": start.parameters,
            "shards": start.shards,
            "codec_scores": start.codec_scores,
            "sessions": sessions,
        }
        write_text(start.folder / SETTINGS, settings_toml(start.settings))
        self._write()

    def on_end(self, reason: str) -> None:
        """Say how the session ended; a killed one has no end."""
        if self._record:
            self._record["sessions"][-1] |= {"ended": _now(), "reason": reason}
            self._write()

    def _write(self) -> None:
        write_text(self._path, json.dumps(self._record, indent=2, default=str) + "\n")


def _read_sessions(path: Path) -> list[dict[str, Any]]:
    try:
        sessions = json.loads(path.read_text(encoding="utf-8"))["sessions"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [item for item in sessions if isinstance(item, dict)]


def git_revision() -> str | None:
    """Return the commit of the toolkit's source, with "+changes" if files differ from it.

    None where the toolkit is installed without its repository, or git is missing.
    """
    folder = Path(apollo_data.__file__).parent
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None  # it may lie in the repository of something else
    revision = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder.parent, "status", "--porcelain", "--untracked-files=no")
    return f"{revision}+changes" if revision and changed else revision


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True, text=True, timeout=_GIT_SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    versions = {"apollo-toolkit": apollo_data.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "unknown"
    versions["cuda"] = str(torch.version.cuda)
    return versions


def _machine() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def _device(name: str) -> str:
    if name.startswith("cuda") and torch.cuda.is_available():
        return f"{name} ({torch.cuda.get_device_name(torch.device(name))})"
    return name


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what can change speed or numbers; other variables may hold secrets."""
    return {name: variables[name] for name in sorted(variables) if name.startswith(_VARIABLES)}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
