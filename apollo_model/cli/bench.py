"""`apollo-model bench`."""

import dataclasses
import json
import math
from typing import Annotated

import typer

from apollo_data.cli.options import Json
from apollo_data.console import Console
from apollo_model.benchmark.speed import Benchmark, measure
from apollo_model.checkpoint.prepared_network import load_prepared
from apollo_model.cli.options import Device, Dtype, DtypeName
from apollo_model.network.apollo import Apollo
from apollo_model.network.base import Network
from apollo_model.network.precision import choose_device, choose_dtype, prepare_network

_RUNS = {"cpu": 10, "cuda": 1000}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def bench(
        checkpoint: Annotated[
            str | None,
            typer.Option(
                help="Checkpoint of the network to time.",
                show_default="the paper's size, random weights",
            ),
        ] = None,
        dtype: Dtype = DtypeName.AUTO,
        device: Device = "auto",
        runs: Annotated[
            int | None,
            typer.Option(min=1, help="Timed runs.", show_default="1000 on a GPU, 10 on a CPU"),
        ] = None,
        seconds: Annotated[float, typer.Option(min=0.1, help="Length of the clip.")] = 1.0,
        channels: Annotated[
            int, typer.Option("--channels", "-c", min=1, help="Channels of the clip.")
        ] = 1,
        compiled: Annotated[
            bool, typer.Option("--compile", help="Also time torch.compile.")
        ] = False,
        as_json: Json = False,
    ) -> None:
        """Time the network as the paper does: 1 s of sound at 44.1 kHz, mean of many runs.

        Also measures how fast this machine multiplies matrices, and what share of that speed the
        network reaches.

        Example: `apollo-model bench --dtype float32 --runs 5`
        """
        if not math.isfinite(seconds):
            raise typer.BadParameter(f"--seconds must be finite, found {seconds}")
        place = choose_device(device)
        if checkpoint is None:
            network: Network = prepare_network(Apollo(), place, choose_dtype(dtype.value, place))
        else:
            network, _ = load_prepared(checkpoint, device, dtype.value)
        found = measure(network, runs or _RUNS.get(place.type, 10), seconds, channels, compiled)
        if as_json:
            Console().result(json.dumps(dataclasses.asdict(found), indent=2))
        else:
            _show(found, Console())


def _show(found: Benchmark, console: Console) -> None:
    console.result(
        f"{found.device}, {found.dtype}, {found.threads} threads\n"
        f"{found.clip_seconds:g} s, channels: {found.channels}; "
        f"{found.parameters / 1e6:.2f} M parameters, {found.operations / 1e9:.1f} G operations;"
        f" peak memory {found.peak_memory_bytes / 1e6:.0f} MB\n"
        f"matrix products: {found.matmul_operations_per_second / 1e9:.0f} G operations/s\n"
    )
    rows = [
        [
            timing.mode,
            str(timing.runs),
            f"{1000 * timing.mean_seconds:.1f}",
            f"{1000 * timing.median_seconds:.1f}",
            f"{1000 * timing.best_seconds:.1f}",
            f"{timing.real_time_factor:.3f}",
            f"{timing.matmul_share:.0%}",
        ]
        for timing in found.timings
    ]
    columns = ["mode", "runs", "mean ms", "median ms", "best ms", "RTF", "of matmul"]
    console.table("speed", columns, rows)
