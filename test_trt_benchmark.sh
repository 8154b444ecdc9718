#!/usr/bin/env bash
# The three configurations, a table each; flags are passed on: test_trt_benchmark.sh --iterations 20
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=${PYTHON:-.venv/bin/python}
for config in config/{vgg16,yolov5,crnn}.yml; do
    "$python" perf_run.py --config="$config" "$@"
done
