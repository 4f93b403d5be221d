#!/bin/sh
# Measure the network on a GPU in under 6 minutes; without one, only go through the calls.
#
#   sh benchmarks/gpu.sh [RESULTS.json]
#
# PYTHON names the interpreter (default: the one of .venv, else python3). The project needs no
# installation for it: torch with CUDA, pydantic, rich and what else apollo_model imports suffice.
set -eu
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
    if [ -x .venv/bin/python ]; then PYTHON=.venv/bin/python; else PYTHON=python3; fi
fi
out=${1:-.benchmarks/gpu.json}
if command -v nvidia-smi >/dev/null; then nvidia-smi --query-gpu=name,driver_version --format=csv; fi
exec timeout 355 "$PYTHON" -m benchmarks.gpu --out "$out" --seconds 240
