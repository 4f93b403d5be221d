"""Memory of a restoration: bounded, whatever the file's length."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")

_LIMIT_MB = 150
_PROGRAM = f"""
import sys
from pathlib import Path
import torch
from apollo_model.network.apollo import Apollo
from apollo_model.restore.files import RestoreOptions, restore

def megabytes(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)[name].split()[0]) / 1024

network = Apollo(feature_dim=16, layers=1).eval()
before = megabytes("VmRSS")
options = RestoreOptions(max_memory_bytes={_LIMIT_MB}_000_000)
report = restore([Path(sys.argv[1])], Path(sys.argv[2]), network, options)
assert report.count("restored") == 1, report
print(before, megabytes("VmHWM"))
"""


def peak_megabytes(folder: Path, seconds: int) -> tuple[float, float]:
    """Restore a stereo file in a process of its own; return its memory before, and its peak."""
    path = folder / f"{seconds}.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, (44100, 2)).astype(np.float32)
    with soundfile.SoundFile(path, "w", 44100, 2, "PCM_16") as out:
        for _ in range(seconds):
            out.write(noise)
    command = [sys.executable, "-c", _PROGRAM, str(path), str(folder / f"{seconds}.out.wav")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    before, peak = map(float, done.stdout.split())
    return before, peak


@pytest.mark.slow
def test_a_long_file_takes_the_memory_of_a_short_one_and_no_more_than_allowed(
    tmp_path: Path,
) -> None:
    (before, short), (_, long) = (peak_megabytes(tmp_path, seconds) for seconds in (100, 300))
    assert long < 1.15 * short  # holding the whole of it would add a fifth
    assert long - before < 1.5 * _LIMIT_MB  # its libraries load the last of their code in use
