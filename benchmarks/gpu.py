"""What a GPU makes of the network: the forward pass, and the paper's training step.

Without a GPU it goes through the same calls with a tiny network on the CPU, which tests the
script and measures nothing.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from apollo_model.benchmark.speed import Timing, measure
from apollo_model.network import Apollo
from apollo_model.network.precision import prepare_network
from benchmarks.step import PaperStep

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_LIMIT_MS = 4.0


def main() -> None:
    """Print tables in Markdown, and write everything measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(".benchmarks/gpu.json"))
    parser.add_argument("--seconds", type=float, default=330.0, help="start nothing after that")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    found = {"card": _card(), "torch": torch.__version__, "forward": [], "steps": []}
    _say(f"{found['card']}, torch {found['torch']}\n")
    found["forward"] += _show_forward(end, compiled=False)
    _say("\n| type | checkpointing | clip | batch | seconds | pairs/s | peak GB |")
    _say("| --- | --- | --- | --- | --- | --- | --- |")
    for row in _steps(end):
        found["steps"].append(row)
        _say("| " + " | ".join(str(value) for value in row.values()) + " |")
    if _has_gpu():  # last, since compiling takes minutes
        found["forward"] += _show_forward(end, compiled=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=2) + "\n")
    _say(f"\nkept in {options.out}")


def _show_forward(end: float, compiled: bool) -> list[dict[str, Any]]:
    """Time 1 s of mono: eager and as a CUDA graph, or compiled."""
    _say("\n| type | mode | mean ms | best ms | under 4 ms |\n| --- | --- | --- | --- | --- |")
    rows = []
    for name, dtype in _TYPES.items():
        if time.monotonic() > end:
            _say(f"| {name} | out of time | | | |")
            break
        network = prepare_network(_network(), _device(), dtype)
        for timing in _timings(network, 200 if _has_gpu() else 2, compiled):
            if compiled and timing.mode != "compiled":
                continue
            rows.append({"dtype": name, **dataclasses.asdict(timing)})
            yes = "yes" if 1000 * timing.mean_seconds < _LIMIT_MS else "no"
            times = f"{1000 * timing.mean_seconds:.2f} | {1000 * timing.best_seconds:.2f}"
            _say(f"| {name} | {timing.mode} | {times} | {yes} |")
    return rows


def _timings(network: Apollo, runs: int, compiled: bool) -> tuple[Timing, ...]:
    try:
        return measure(network, runs, compiled=compiled).timings
    except Exception as error:  # one way that fails must not cost the others
        _say(f"failed: {str(error).splitlines()[0]}")
        return ()


def _steps(end: float) -> Iterator[dict[str, Any]]:
    """Time the paper's step at growing batches, until the memory or the time is used up."""
    ways = [(name, keep) for name in ("bfloat16", "float32") for keep in (False, True)]
    for name, checkpointing in ways:
        for seconds, batch in ((1.0, 1), (3.0, 1), (3.0, 4), (3.0, 8), (3.0, 16), (3.0, 32)):
            if time.monotonic() > end or (not _has_gpu() and (batch > 1 or seconds > 1)):
                break
            try:
                yield _step(name, checkpointing, seconds, batch)
            except torch.cuda.OutOfMemoryError:
                _say(f"| {name} | {checkpointing} | {seconds} | {batch} | does not fit | | |")
                break
            finally:
                if _has_gpu():
                    torch.cuda.empty_cache()


def _step(name: str, checkpointing: bool, seconds: float, batch: int) -> dict[str, Any]:
    network = _network().to(_device())
    network.activation_checkpointing = checkpointing

    def autocast() -> torch.autocast:
        return torch.autocast(_device().type, torch.bfloat16, enabled=name == "bfloat16")

    if _has_gpu():
        torch.cuda.reset_peak_memory_stats()
    step = PaperStep(network, batch, seconds, autocast=autocast)
    step()
    rounds = 3 if _has_gpu() else 1
    _wait()
    began = time.perf_counter()
    for _ in range(rounds):
        step()
    _wait()
    taken = (time.perf_counter() - began) / rounds
    peak = torch.cuda.max_memory_allocated() / 1e9 if _has_gpu() else 0.0
    return {
        "dtype": name,
        "checkpointing": checkpointing,
        "clip_seconds": seconds,
        "batch": batch,
        "step_seconds": round(taken, 4),
        "pairs_per_second": round(batch / taken, 2),
        "peak_gb": round(peak, 2),
    }


def _network() -> Apollo:
    torch.manual_seed(0)
    return Apollo() if _has_gpu() else Apollo(feature_dim=16, layers=1)


def _has_gpu() -> bool:
    return torch.cuda.is_available()


def _device() -> torch.device:
    return torch.device("cuda" if _has_gpu() else "cpu")


def _wait() -> None:
    if _has_gpu():
        torch.cuda.synchronize()


def _card() -> str:
    return torch.cuda.get_device_name() if _has_gpu() else "no GPU (smoke test on the CPU)"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
