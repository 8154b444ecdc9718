#!/usr/bin/env bash
# Runs the harness inside an image: the image's own, or the checkout that EP_PERF_DIR names, in the image's
# environments either way. Arguments are the harness's, unchanged; `lab` as the first starts JupyterLab, where an
# image has it, in the folder of notebooks.
set -euo pipefail

home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
ort_python=${EP_PERF_ORT_PYTHON:-/opt/ort/current/bin/python}

flags=(--no_install)
# The image's ONNX Runtime, released or from source, takes the place of the environment `cuda`.
if [[ -x $ort_python ]]; then
    flags+=(--env "cuda=$ort_python")
fi
torch_python=${EP_PERF_TORCH_PYTHON:-/opt/torch/bin/python}
if [[ -x $torch_python ]]; then
    export EP_PERF_TORCH_PYTHON=$torch_python # notebooks name it too
    flags+=(--env "torch=$torch_python")
fi
if [[ ${1:-} == lab ]]; then
    shift
    cd "$home/docs/notebooks"
    exec "$home/.venv/bin/jupyter" lab --ip 0.0.0.0 --no-browser "$@"
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
