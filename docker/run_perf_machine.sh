#!/usr/bin/env bash
# Runs the harness on this machine, without a container, into result/<group>. An ONNX Runtime that
# docker/ort_build_latest.py built into .envs/ort takes the place of the environment `cuda`.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: docker/run_perf_machine.sh [-o GROUP] [-m MODELS] [-- HARNESS FLAGS...]
  -o, --option GROUP      which models: `offline` (default), `selected-models` (with -m), or a folder of models/
  -m, --model_path PATH   a model list (.json), a folder of models, or an .onnx file
Flags after -- are the harness's own, unchanged. Results: result/GROUP in this checkout.
TEXT
}

home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=docker/model_group.sh
source "$home/docker/model_group.sh"

group=offline models=''
while [[ $# -gt 0 ]]; do
    case $1 in
        -o | --option) group=$(value_of "$@"); shift 2 ;;
        -m | --model_path) models=$(value_of "$@"); shift 2 ;;
        -h | --help) usage; exit 0 ;;
        --) shift; break ;;
        *) refuse "unknown argument '$1'; the harness's own flags follow after --" ;;
    esac
done

models=$(models_of "$group" "$models" "$home")
flags=(-o "$home/result/$group")
if [[ -n $models ]]; then
    flags+=(-m "$models")
fi
if [[ -x $home/.envs/ort/bin/python ]]; then
    flags+=(--env "cuda=$home/.envs/ort/bin/python")
fi
exec "$home/perf.sh" "${flags[@]}" "$@"
