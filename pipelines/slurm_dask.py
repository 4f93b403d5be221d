"""Build a pipeline's shards on Dask workers that Slurm starts (extra `cluster`).

Example: ``python pipelines/slurm_dask.py pipelines/paper.toml data/raw data/paper 50``
"""

import subprocess
import sys

from dask_jobqueue import SLURMCluster


def main(config: str, songs: str, out: str, jobs: int) -> None:
    """Start `jobs` jobs of 8 workers, one thread each, and build on them."""
    with SLURMCluster(
        cores=8,
        processes=8,  # of one thread: HDF5 lets one thread of a process in at a time
        memory="32GB",
        walltime="04:00:00",
        job_extra_directives=["--job-name=apollo-dask"],
    ) as cluster:
        cluster.scale(jobs=jobs)
        cluster.wait_for_workers(1)
        command = ["apollo-data", "build-h5", "--config", config, "--in", songs, "--out", out]
        subprocess.run([*command, "--scheduler", cluster.scheduler_address], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:4], int(sys.argv[4]))
