"""Build a pipeline's shards on Dask workers that Slurm starts (extra `cluster`).

Example: ``python pipelines/slurm_dask.py --config pipelines/paper.toml --in data/raw
--out data/paper --jobs 50 --queue cpu --account music``

It stays until the build has ended: run it in tmux, or as a job of its own.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from apollo_data.errors import ApolloError, ToolError

BUILD = [sys.executable, "-c", "from apollo_data.cli import main; main()", "build-h5"]
WORKER = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard"]
JOB = '"slurm${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"'  # Dask takes 1_1 for the number 11
JOB_NAME = f"apollo-dask-{os.getpid()}"
ORPHAN_SECONDS = 60  # a job ends by itself so long after this program was killed
SLURM_SECONDS = 120

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    config: Annotated[Path, typer.Option("--config", "-c", help="A pipeline file.")],
    songs: Annotated[Path, typer.Option("--in", "-i", help="Folder of songs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Working folder.")],
    jobs: Annotated[int, typer.Option(min=1, help="How many Slurm jobs.")],
    cores: Annotated[int, typer.Option(min=1, help="Cores, and workers, of each job.")] = 8,
    memory: Annotated[str, typer.Option(help="Memory of each core.")] = "2G",
    walltime: Annotated[str, typer.Option(help="Time of each job.")] = "04:00:00",
    queue: Annotated[str | None, typer.Option(help="Slurm's partition.")] = None,
    account: Annotated[str | None, typer.Option(help="Slurm's account.")] = None,
    interface: Annotated[
        str | None, typer.Option(help="Network interface that all machines have, such as ib0.")
    ] = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(help="One more option for sbatch, as in --sbatch=--qos=long; repeatable."),
    ] = None,
    look: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks at Slurm's queue.")
    ] = 15.0,
) -> None:
    """Build a pipeline's shards on Dask workers that Slurm starts.

    Run it where the jobs can reach it, in a folder that all nodes see. A job that worked and has
    left Slurm's queue, say at the end of its time, is submitted anew. In the end, or
    interrupted, all jobs are cancelled.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    words = out.absolute() / "slurm"
    words.mkdir(parents=True, exist_ok=True)
    with scheduler(interface) as cluster:
        address = cluster.scheduler_address
        worker = [*WORKER, address, "--nworkers", str(cores), "--memory-limit", memory]
        worker += ["--death-timeout", str(ORPHAN_SECONDS)]
        worker += ["--interface", interface] if interface else []
        options = {"cpus-per-task": cores, "mem-per-cpu": memory, "time": walltime}
        options |= {"partition": queue, "account": account, "output": words / "%A_%a.txt"}
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        wrapped = f"exec {shlex.join(worker)} --name {JOB}"
        with Jobs(jobs, [*given, *(sbatch or []), "--wrap", wrapped], words) as kept:
            tell(f"{jobs} jobs submitted as {JOB_NAME}; what they say is in {words}")
            while not (working := jobs_with_workers(cluster)):
                time.sleep(look)
                kept.renew(working)
            command = ["--config", config, "--in", songs, "--out", out, "--scheduler", address]
            with building(list(map(str, command))) as build:
                while not ended_within(look, build):
                    kept.renew(jobs_with_workers(cluster))
    raise typer.Exit(build.returncode)


@contextlib.contextmanager
def scheduler(interface: str | None) -> Iterator[Any]:
    """Run a Dask scheduler in this process.

    Raises
    ------
    ToolError
        Dask is missing, or there is no such network interface.
    """
    try:
        from distributed import Scheduler, SpecCluster
    except ImportError:
        raise ToolError(
            "this needs the package dask[distributed]; pip install 'apollo-toolkit[cluster]'"
        ) from None
    options = {"interface": interface, "dashboard": False, "port": 0}
    try:
        cluster = SpecCluster(
            scheduler={"cls": Scheduler, "options": options}, silence_logs="ERROR"
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ToolError(f"no Dask scheduler can be started here ({error})") from None
    with cluster:
        yield cluster


def jobs_with_workers(cluster: Any) -> set[str]:
    """Return the jobs, as ARRAY_NUMBER, that have a worker now."""
    names = [str(row["name"]) for row in cluster.scheduler_info["workers"].values()]
    return {name.removeprefix("slurm").partition("-")[0] for name in names}


class Jobs:
    """Slurm jobs that are alike; cancelled when the block ends.

    Parameters
    ----------
    count
        How many.
    command
        Their options of sbatch, and what they run.
    words
        Where they write what they say.
    """

    def __init__(self, count: int, command: list[str], words: Path) -> None:
        self.command, self.words = command, words
        self.arrays: list[str] = []
        self.kept: set[str] = set()
        self.worked: set[str] = set()
        self._submit(count)

    def __enter__(self) -> "Jobs":
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            slurm("scancel", *self.arrays)
        except ToolError as error:
            if queued() != set():
                tell(f"warning: {error}; run `scancel {' '.join(self.arrays)}`")

    def _submit(self, count: int) -> None:
        common = ["--parsable", f"--job-name={JOB_NAME}", f"--array=1-{count}", "--export=ALL"]
        array = slurm("sbatch", *common, *self.command).strip().partition(";")[0]
        self.arrays.append(array)
        self.kept |= {f"{array}_{number}" for number in range(1, count + 1)}

    def renew(self, working: set[str]) -> None:
        """Put new jobs in the place of those that had a worker, now or before, and have ended.

        Raises
        ------
        ToolError
            No job is left, and none may take their place.
        """
        self.worked |= working
        if (now := queued()) is None:
            return
        ended = self.kept - now
        again = ended & self.worked
        try:
            if again:
                self._submit(len(again))
                self.kept -= again
                tell(f"{len(again)} jobs have ended; as many are submitted anew")
            elif ended == self.kept:
                raise ToolError(
                    f"all jobs ended before a worker came; look at {self.words}, then run the "
                    "same command again to go on"
                )
        except ToolError as error:
            if ended == self.kept:
                raise
            tell(f"warning: {error}")


def queued() -> set[str] | None:
    """Return our jobs that wait or run, as ARRAY_NUMBER; None if Slurm does not answer now."""
    mine = [f"--user={os.getuid()}", f"--name={JOB_NAME}"]
    try:
        return set(slurm("squeue", "--noheader", "--array", "--format=%i", *mine).split())
    except ToolError:
        return None


def slurm(program: str, *arguments: str) -> str:
    """Run one of Slurm's commands and return what it prints.

    Raises
    ------
    ToolError
        It is missing, fails or hangs.
    """
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=SLURM_SECONDS
        )
    except FileNotFoundError:
        raise ToolError(f"{program}: no such program; run this where Slurm's are") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{program}: no answer in {SLURM_SECONDS} s") from None
    if done.returncode:
        raise ToolError(f"{program} failed: {' '.join(done.stderr.split())}")
    return done.stdout


@contextlib.contextmanager
def building(options: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `apollo-data build-h5`; whatever ends this early interrupts it, and waits for it."""
    build = subprocess.Popen(
        [*BUILD, *options],
        start_new_session=True,  # a terminal's Ctrl-C reaches it once: from here
    )
    try:
        yield build
    finally:
        if build.poll() is None:
            build.send_signal(signal.SIGINT)
            build.wait()


def ended_within(seconds: float, process: "subprocess.Popen[bytes]") -> bool:
    """Wait so long for a process; tell whether it has ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False


def tell(text: str) -> None:
    """Say on stderr how the jobs go."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        app()
    except ApolloError as error:
        sys.exit(f"error: {error}")
