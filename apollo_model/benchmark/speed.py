"""Times a network by the paper's protocol, and compares it with plain matrix products."""

import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from apollo_data.errors import ToolError
from apollo_model.network.apollo import BANDS
from apollo_model.network.base import Network

_FRAMES = 101  # of 1 s
_MATMUL_RUNS = 5
_SQUARE = 2048
_WARM_UP_RUNS = 2

Run = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """One way of running the network.

    Attributes
    ----------
    mean_seconds, median_seconds, best_seconds
        For the clip, over all runs after a warm-up.
    real_time_factor
        Mean work seconds per second of sound (the paper, section IV: RTF).
    matmul_share
        Operations per second at the best run, relative to plain matrix products of the
        network's own sizes timed in the same call.
    """

    mode: str
    runs: int
    mean_seconds: float
    median_seconds: float
    best_seconds: float
    real_time_factor: float
    matmul_share: float


@dataclass(frozen=True)
class Benchmark:
    """All results. A multiplication and an addition count as two operations.

    Attributes
    ----------
    peak_memory_bytes
        On a GPU the peak of torch's allocations; on a CPU that of the whole process.
    """

    device: str
    dtype: str
    threads: int
    clip_seconds: float
    channels: int
    parameters: int
    operations: int
    matmul_operations_per_second: float
    peak_memory_bytes: int
    timings: tuple[Timing, ...]


def measure(
    network: Network,
    runs: int,
    clip_seconds: float = 1.0,
    channels: int = 1,
    compiled: bool = False,
) -> Benchmark:
    """Time a prepared network on noise.

    Parameters
    ----------
    network
        As `apollo_model.network.precision.prepare_network` gives it.
    runs
        Number of runs of each mode; the paper averages 1000.
    compiled
        Also time `torch.compile`. On a GPU a CUDA graph is always timed too.

    Raises
    ------
    ToolError
        torch cannot compile here.
    """
    parameter = next(network.core.parameters())
    device, dtype = parameter.device, parameter.dtype
    samples = round(clip_seconds * network.sample_rate)
    noise = torch.randn(1, channels, samples, generator=torch.Generator().manual_seed(0))
    audio = (0.1 * noise).to(device)
    with torch.inference_mode():
        operations = count_operations(network, audio)
        rate = matmul_rate(network.feature_dim, device, dtype)
        ways = _ways_to_run(network, audio, compiled)
        timings = []
        for mode, run in ways.items():
            seconds = _time(run, runs, device)
            timings.append(_timing(mode, seconds, clip_seconds, operations / rate))
    return Benchmark(
        device=_device_name(device),
        dtype=str(dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        clip_seconds=clip_seconds,
        channels=channels,
        parameters=sum(value.numel() for value in network.parameters()),
        operations=operations,
        matmul_operations_per_second=rate,
        peak_memory_bytes=_peak_memory_bytes(device),
        timings=tuple(timings),
    )


def count_operations(network: Network, audio: Tensor) -> int:
    """Count the operations of a pass's products and convolutions, which are nearly all of them."""
    with FlopCounterMode(display=False) as counter:
        network(audio)
    return int(counter.get_total_flops())


def matmul_rate(feature_dim: int, device: torch.device, dtype: torch.dtype) -> float:
    """Return operations per second of the fastest of some plain products.

    They have the sizes of the network's widest layers, and one is square. The square one is
    usually the fastest: a wide result of few sums takes longer to write than to compute.
    """
    rows = _FRAMES * BANDS
    shapes = (
        (rows, feature_dim, 8 * feature_dim),
        (rows, 4 * feature_dim, feature_dim),
        (_SQUARE, _SQUARE, _SQUARE),
    )
    return max(_product_rate(shape, device, dtype) for shape in shapes)


def _product_rate(shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype) -> float:
    rows, inner, columns = shape
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(inner, columns, device=device).to(dtype)
    seconds = _time(lambda: left @ right, _MATMUL_RUNS, device)
    return 2 * rows * inner * columns / min(seconds)


def _ways_to_run(network: Network, audio: Tensor, compiled: bool) -> dict[str, Run]:
    ways: dict[str, Run] = {"eager": lambda: network(audio)}
    if compiled:
        ways["compiled"] = _compiled(network, audio)
    if audio.device.type == "cuda":
        ways["CUDA graph"] = _graph(network, audio)
    return ways


def _compiled(network: Network, audio: Tensor) -> Run:
    quick = torch.compile(network)
    try:
        quick(audio)
    except Exception as error:  # the type depends on the back end; most often a compiler is missing
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ToolError(f"--compile: torch cannot compile the network here ({reason})") from None
    return lambda: quick(audio)


def _graph(network: Network, audio: Tensor) -> Run:
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):  # the graph must not contain what only the first run does
        for _ in range(_WARM_UP_RUNS):
            network(audio)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(audio)
    return graph.replay


def _time(run: Run, runs: int, device: torch.device) -> list[float]:
    for _ in range(_WARM_UP_RUNS):
        run()
    seconds = []
    for _ in range(runs):
        _wait(device)
        began = time.perf_counter()
        run()
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _timing(mode: str, seconds: list[float], clip_seconds: float, ideal: float) -> Timing:
    mean = statistics.fmean(seconds)
    return Timing(
        mode=mode,
        runs=len(seconds),
        mean_seconds=mean,
        median_seconds=statistics.median(seconds),
        best_seconds=min(seconds),
        real_time_factor=mean / clip_seconds,
        matmul_share=ideal / min(seconds),
    )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"


def _peak_memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
