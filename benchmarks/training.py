"""A training step beside the published network's plain form, each in a process of its own.

Time is taken twice: by the clock, and as the main thread's processor time, which other work on the
machine changes less. The published network runs with the allocator's defaults, ours with the
settings that `apollo-model train` makes.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from apollo_model.network import Apollo
from apollo_model.network.memory import keep_freed_memory
from benchmarks.figure import Figure
from benchmarks.published import PublishedApollo
from benchmarks.step import PaperStep

_SIZES = {
    "paper": {"feature_dim": 256, "layers": 6},
    "small": {"feature_dim": 48, "layers": 2},
}
_MAC = sys.platform == "darwin"
_ROUNDS = 2
_TIMED_STEPS = {"paper": 2, "small": 10}
_THREADS = 2


def measure(folder: Path) -> list[Figure]:
    """Time the paper's step (1 s of stereo, batch 1) and a small network's; needs no `folder`."""
    figures = []
    forms = {"paper": ("published", "own", "checkpointing"), "small": ("published", "own")}
    for size, kinds in forms.items():
        found = _in_turns(size, kinds)
        for kind in kinds[1:]:
            own, plain = found[kind], found["published"]
            name = f"step, {size} size" + (", checkpointing" if kind == "checkpointing" else "")
            for key, what in (("seconds", ""), ("processor", " of processor time")):
                unit = f"steps/min{what}"
                figures.append(Figure(name, 60 / own[key], unit, 60 / plain[key], "published"))
            figures.append(Figure(name, own["peak"], "GB peak", plain["peak"], "published"))
    return figures


def _in_turns(size: str, kinds: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return each kind's best times and highest memory of some rounds."""
    rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(_ROUNDS):
        for kind in kinds:
            command = [sys.executable, "-m", "benchmarks.training", size, kind]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rows[kind].append(json.loads(out))
    return {
        kind: {
            "seconds": min(row["seconds"] for row in found),
            "processor": min(row["processor"] for row in found),
            "peak": max(row["peak"] for row in found),
        }
        for kind, found in rows.items()
    }


def time_steps(size: str, kind: str) -> dict[str, float]:
    """Return the seconds of the best step, and the process's peak memory in GB."""
    torch.set_num_threads(_THREADS)
    torch.manual_seed(0)
    own = Apollo(**_SIZES[size])
    own.activation_checkpointing = kind == "checkpointing"
    if kind != "published":
        keep_freed_memory()
    network = PublishedApollo(own) if kind == "published" else own
    small = size == "small"
    step = PaperStep(network, 2 if small else 1, 0.5 if small else 1.0, adversarial=not small)
    step()
    seconds, processor = [], []
    for _ in range(_TIMED_STEPS[size]):
        began = time.perf_counter(), time.thread_time()
        step()
        seconds.append(time.perf_counter() - began[0])
        processor.append(time.thread_time() - began[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if _MAC else 1e6)
    return {"seconds": min(seconds), "processor": min(processor), "peak": peak}


if __name__ == "__main__":
    print(json.dumps(time_steps(sys.argv[1], sys.argv[2])))
