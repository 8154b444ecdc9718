#!/usr/bin/env bash
# ./setup_many_models.sh URL…: fetch archives of models and make every model in them ready to run.
# A thin front on setup_onnx_zoo.py, whose options it takes; see its --help.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
if [ "$#" -eq 0 ]; then
    echo "error: which archives? usage: $0 URL… [--models FOLDER] [--update-lock]" >&2
    exit 2
fi
own=$here/../.venv/bin/python # what perf.sh sets up
if [ ! -x "$own" ]; then own=python3; fi
exec "${PYTHON:-$own}" "$here/setup_onnx_zoo.py" "$@"
