"""A Slurm of one machine: jobs are process groups, the queue is a folder."""

import os
import signal
import sys
from pathlib import Path

SBATCH = """
import os, subprocess, sys
from pathlib import Path
jobs = Path(os.environ["SLURM_JOBS"])
options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if "=" in word.split(" ")[0])
wrapped = sys.argv[sys.argv.index("--wrap") + 1]
array = str(1 + len(list(jobs.glob("*.array"))))
(jobs / f"{array}.array").write_text("\\n".join(sys.argv))
for number in range(1, 1 + int(options["array"].partition("-")[2])):
    place = options["output"].replace("%A", array).replace("%a", str(number))
    environment = {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": str(number)}
    with open(place, "ab") as words:
        job = subprocess.Popen(
            ["bash", "-c", wrapped], stdin=subprocess.DEVNULL, stdout=words, stderr=words,
            start_new_session=True, env={**os.environ, **environment},
        )
    (jobs / f"{array}_{number}").write_text(f"{job.pid} {options['job-name']}")
print(array)
"""

SQUEUE = """
import os, sys
sys.path.insert(0, os.environ["STAND_IN"])
from slurm_stand_in import running
names = [word.partition("=")[2] for word in sys.argv if word.startswith("--name=")]
for job, (group, name) in running().items():
    if name in names:
        print(job)
"""

SCANCEL = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, os.environ["STAND_IN"])
from slurm_stand_in import running
for array in sys.argv[1:]:
    Path(os.environ["SLURM_JOBS"], f"{array}.cancelled").touch()
for job, (group, name) in running().items():
    if job.partition("_")[0] in sys.argv[1:]:
        os.killpg(group, signal.SIGTERM)
"""


def install(folder: Path, jobs: Path) -> dict[str, str]:
    """Write the programs into a folder; return the environment in which they are found."""
    folder.mkdir()
    jobs.mkdir()
    for name, program in {"sbatch": SBATCH, "squeue": SQUEUE, "scancel": SCANCEL}.items():
        (folder / name).write_text(f"#!{sys.executable}\n{program}")
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return {"PATH": path, "SLURM_JOBS": str(jobs), "STAND_IN": str(Path(__file__).parent)}


def running() -> dict[str, tuple[int, str]]:
    """Return process group and name of each job that has a process left, by ARRAY_NUMBER."""
    alive = set()
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = place.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if state != "Z":
            alive.add(int(group))
    found = {}
    for place in sorted(Path(os.environ["SLURM_JOBS"]).glob("*_*")):
        group, name = place.read_text().split()
        if int(group) in alive:
            found[place.name] = (int(group), name)
    return found


def kill(job: str) -> None:
    """Kill all processes of a job, as a node does that fails."""
    os.killpg(running()[job][0], signal.SIGKILL)
