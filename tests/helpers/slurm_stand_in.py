"""A Slurm of one machine: jobs are process groups, the queue is a folder."""

import os
import signal
import sys
from pathlib import Path

SBATCH = """
import os, re, subprocess, sys
from pathlib import Path
if "--test-only" in sys.argv:
    sys.exit()
jobs = Path(os.environ["SLURM_JOBS"])
script = Path(sys.argv[1]).read_text()
number = 1
while True:  # several sbatch run at once
    try:
        (jobs / f"{number}.sh").open("x").write(script)
        break
    except FileExistsError:
        number += 1
words = re.search("^#SBATCH -o (.*)", script, re.M).group(1).replace("%J", str(number))
with open(words, "wb") as output:
    job = subprocess.Popen(
        ["bash", str(jobs / f"{number}.sh")], stdin=subprocess.DEVNULL, stdout=output,
        stderr=output, start_new_session=True,
    )
(jobs / f"{number}.part").write_text(str(job.pid))
(jobs / f"{number}.part").rename(jobs / f"{number}.pid")
print("Submitted batch job", number)
"""

SCANCEL = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, os.environ["STAND_IN"])
from helpers.slurm_stand_in import running
for job in sys.argv[1:]:
    Path(os.environ["SLURM_JOBS"], f"{job}.cancelled").touch()
    if group := running().get(job):
        os.killpg(group, signal.SIGTERM)
"""


def install(folder: Path, jobs: Path) -> dict[str, str]:
    """Write the programs into a folder; return the environment in which they are found."""
    folder.mkdir()
    jobs.mkdir()
    for name, program in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (folder / name).write_text(f"#!{sys.executable}\n{program}")
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return {"PATH": path, "SLURM_JOBS": str(jobs), "STAND_IN": str(Path(__file__).parents[1])}


def running() -> dict[str, int]:
    """Return the process group of each job that has a process left, by the job's number."""
    alive = set()
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = place.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if state != "Z":
            alive.add(int(group))
    started = Path(os.environ["SLURM_JOBS"]).glob("*.pid")
    groups = {place.stem: int(place.read_text()) for place in started}
    return {job: group for job, group in groups.items() if group in alive}


def kill(job: str) -> None:
    """Kill all processes of a job, as a node does that fails."""
    os.killpg(running()[job], signal.SIGKILL)
