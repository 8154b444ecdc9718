#!/usr/bin/env bash
# run_models.sh IMAGE GROUP MODELS EP_LIST LABEL: one group of models in the image, or with an empty IMAGE on this machine;
# an empty MODELS or EP_LIST means the default. Ends as the harness ends.
set -euo pipefail

image=$1 group=$2 models=$3 ep_list=$4 label=$5
home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)

run=(-o "$group")
program=$home/docker/run_perf_machine.sh
if [[ -n $image ]]; then
    run+=(-d "$image")
    program=$home/docker/run_perf_docker.sh
fi
if [[ -n $models ]]; then
    run+=(-m "$models")
fi
flags=(--label "$label")
if [[ -n $ep_list ]]; then
    flags+=(-e "$ep_list")
fi
exec "$program" "${run[@]}" -- "${flags[@]}"
