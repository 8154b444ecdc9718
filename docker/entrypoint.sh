#!/usr/bin/env bash
# Runs the harness inside an image: the image's own, or the checkout that EP_PERF_DIR names, in the image's
# environments either way. Arguments are the harness's, unchanged.
set -euo pipefail

home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
ort_python=${EP_PERF_ORT_PYTHON:-/opt/ort/current/bin/python}

flags=(--no_install)
# The image's ONNX Runtime, released or from source, takes the place of the environment `cuda`.
if [[ -x $ort_python ]]; then
    flags+=(--env "cuda=$ort_python")
fi
if [[ -n ${EP_PERF_DIR:-} ]]; then
    # What perf.sh would add, and the image's models; a resumed run has its own.
    mode=(-r both) inputs=(-i zoo) times=(-t 20) models=(-m "$home/model_list.json")
    for flag in "$@"; do
        case $flag in
        -r* | --running?mode*) mode=() ;;
        -i* | --input?data*) inputs=() ;;
        -t* | --test?times* | --min?time*) times=() ;;
        -m* | --model?source*) models=() ;;
        --resume*) mode=() inputs=() times=() models=() ;;
        esac
    done
    defaults=("${mode[@]}" "${inputs[@]}" "${times[@]}" "${models[@]}")
    exec "$home/.venv/bin/python" "$EP_PERF_DIR/benchmark_wrapper.py" "${defaults[@]}" "${flags[@]}" "$@"
fi
exec "$home/perf.sh" "${flags[@]}" "$@"
