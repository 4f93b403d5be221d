#!/usr/bin/env bash
# Builds a pipeline's shards as a Slurm array: plan once, build in parts, finish once.
#
#   PIPELINE=pipelines/paper.toml SONGS=data/raw OUT=data/paper pipelines/slurm_array.sh
#
# Run it on a login node, in a folder that all nodes see, with the environment activated.
# A part that failed can be submitted again by itself; what is there is not built twice.
set -euo pipefail
: "${PIPELINE:?a pipeline file}" "${SONGS:?a folder of songs}" "${OUT:?a working folder}"
PARTS=${PARTS:-100}
CORES=${CORES:-8}
TIME=${TIME:-04:00:00}
common=(--parsable --kill-on-invalid-dep=yes --cpus-per-task="$CORES" --time="$TIME" --export=ALL)
build="apollo-data build-h5 --config '$PIPELINE' --out '$OUT' --workers $CORES --quiet"

plan=$(sbatch "${common[@]}" --job-name=apollo-plan \
    --wrap "apollo-data mix --config '$PIPELINE' --in '$SONGS' --out '$OUT'")
parts=$(sbatch "${common[@]}" --job-name=apollo-part --array="1-$PARTS" \
    --dependency="afterok:$plan" --wrap "$build --shards \$SLURM_ARRAY_TASK_ID/$PARTS")
# afterany: what a failed part left undone, the last job does.
sbatch "${common[@]}" --job-name=apollo-finish --dependency="afterok:$plan,afterany:$parts" \
    --wrap "$build --in '$SONGS' && apollo-data verify '$OUT/shards'"
