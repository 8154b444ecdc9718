#!/usr/bin/env bash
# ./setup_many_models.sh URL…: fetch archives of models and make every model in them ready to run.
# A thin front on setup_onnx_zoo.py, whose options it takes; see its --help.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
if [ "$#" -eq 0 ]; then
    echo "error: which archives? usage: $0 URL… [--models FOLDER] [--update-lock]" >&2
    exit 2
fi
exec "${PYTHON:-python3}" "$here/setup_onnx_zoo.py" "$@"
