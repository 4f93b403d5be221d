"""No folder in shared memory is left behind by a process that is killed."""

import signal
import subprocess
import sys
from pathlib import Path

CODE = """
import os, signal, sys, time
from apollo_data.parallel import parallel_map
work = parallel_map(time.sleep, [0.05] * 40, 2)
next(work)
print(os.getpid(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_sigkill_leaves_no_folder_of_joblib(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with told.open("wb") as out:  # a pipe would stay open as long as the orphaned workers
        done = subprocess.run([sys.executable, "-c", CODE], stdout=out)
    assert done.returncode == -signal.SIGKILL
    for place in ("/dev/shm", "/tmp"):
        assert not list(Path(place).glob(f"joblib_memmapping_folder_{told.read_text().strip()}_*"))
