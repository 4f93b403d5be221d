"""Build a pipeline's shards on Dask workers that Slurm starts (extra `cluster`).

Example: ``python pipelines/slurm_dask.py --config pipelines/paper.toml --in data/raw
--out data/paper --jobs 50 --queue cpu --account music``
"""

import shutil
import signal
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from apollo_data.cli import app as apollo_data
from apollo_data.console import run_app
from apollo_data.errors import ToolError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    config: Annotated[Path, typer.Option("--config", "-c", help="Pipeline file.")],
    songs: Annotated[Path, typer.Option("--in", "-i", help="Folder of songs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Working folder.")],
    jobs: Annotated[int, typer.Option(min=1, help="Slurm jobs, each a worker of one core.")],
    memory: Annotated[str, typer.Option(help="Memory of a job.")] = "2GiB",
    walltime: Annotated[str, typer.Option(help="Time of a job.")] = "04:00:00",
    queue: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm's account.")] = None,
    interface: Annotated[str | None, typer.Option(help="Network of all nodes, say ib0.")] = None,
    wait: Annotated[float, typer.Option(help="Hours to wait for the first worker.")] = 24.0,
) -> None:
    """Build a pipeline's shards on Dask workers that Slurm starts; see docs/scaling.md."""
    try:
        from dask_jobqueue import SLURMCluster
        from dask_jobqueue.slurm import SLURMJob
        from distributed import Status
        from distributed import TimeoutError as NoWorkerError
    except ImportError:
        raise ToolError(
            "this needs the package dask-jobqueue; pip install 'apollo-toolkit[cluster]'"
        ) from None
    if not shutil.which("sbatch"):
        raise ToolError("sbatch: no such program; run this on a machine that submits Slurm jobs")
    for ending in (signal.SIGINT, signal.SIGTERM):  # dask-jobqueue 0.9 ends with 0 upon SIGINT
        signal.signal(ending, signal.default_int_handler)

    class Job(SLURMJob):
        async def close(self) -> None:
            await super().close()
            self.status = Status.closed  # else the end fails after a job that sbatch refused

    job = {"cores": 1, "processes": 1, "memory": memory, "walltime": walltime, "queue": queue}
    job |= {"account": account, "interface": interface, "job_name": "apollo-dask"}
    job |= {"log_directory": str(out.absolute() / "slurm")}
    try:
        cluster = SLURMCluster(job_cls=Job, scheduler_options={"dashboard": False}, **job)
    except (ValueError, RuntimeError) as error:
        raise ToolError(f"no Dask scheduler can be started: {error}") from None
    with cluster:
        trial = ["sbatch", "--test-only"]
        tried = subprocess.run(trial, input=cluster.job_script(), capture_output=True, text=True)
        if tried.returncode:
            raise ToolError(f"sbatch refuses the jobs: {' '.join(tried.stderr.split())}")
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)  # replaces those that end
        try:
            cluster.wait_for_workers(1, timeout=wait * 3600)
        except NoWorkerError:
            raise ToolError(
                f"no worker came within {wait:g} h; look at `squeue --me` and {out / 'slurm'}"
            ) from None
        places = ["--config", str(config), "--in", str(songs), "--out", str(out)]
        words = ["build-h5", *places, "--scheduler", cluster.scheduler_address]
        status = apollo_data(words, standalone_mode=False)
    raise typer.Exit(status or 0)


if __name__ == "__main__":
    run_app(app)
