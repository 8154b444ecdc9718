#!/usr/bin/env bash
# Device time and CUDA graphs on a machine with an NVIDIA GPU and no network, and recordings of what it said.
#   usage: graphs.sh PIECES OUT     as run.sh; PYTHON needs CUPTI beside it too (torch's wheel brings it)
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
pieces=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
python=$(command -v "${PYTHON:-python3}")
work=${WORK:-/tmp/ep-perf-gpu}
mkdir -p "$work" "$out/recorded"
cd "$root" || exit 2
export PYTHONPATH=$root

say() { echo "== $(date +%T) $*"; }

if [ ! -f "$work/ort/onnxruntime/__init__.py" ]; then
    say "assemble"
    wheel=$work/onnxruntime_gpu-1.31.1-cp312-cp312-manylinux_2_28_x86_64.whl
    find "$pieces" -maxdepth 1 -name 'piece.*' | sort | xargs cat >"$wheel"
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$work/ort" "$wheel" || exit 3
fi
site=$("$python" -c 'import nvidia; print(next(iter(nvidia.__path__)))')
libraries=$(find "$site" -name 'lib*.so*' -printf '%h\n' | sort -u | paste -sd:)
driver=$(dirname "$(find /usr/local/nvidia /usr/lib -name 'libcuda.so.1' 2>/dev/null | head -n 1)")
cat >"$work/environments.toml" <<TOML
drop = ["*"]
[current]
python = "current"

[cuda]
python = "$python"
targets = ["CUDAExecutionProvider"]
env = { PYTHONPATH = "$work/ort", LD_LIBRARY_PATH = "$libraries:$driver" }

[faults]
python = "$python"
targets = ["CudaFaults"]
default = false
backend = "$root/benchmarks/gpu/cuda_faults.py"
env = { LD_LIBRARY_PATH = "$driver" }
TOML
limit() { # seconds, flags: SIGTERM leaves the tables written
    local seconds=$1
    shift
    (cd "$work" && timeout -k 10 "$seconds" "$python" "$root/benchmark_wrapper.py" -m "$root/model_list.json" \
        -o "$out/result" "$@" 2>&1 | tail -n "${LINES_SHOWN:-40}")
}

say "versions"
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,compute_cap --format=csv,noheader
say "models"
"$python" -m setup_models.offline | tail -n 2
say "records of activities; replays against runs without the graph, and planted stale buffers"
PYTHONPATH=$work/ort:$root LD_LIBRARY_PATH=$libraries:$driver ORT_DISABLE_TELEMETRY=1 NVIDIA_TF32_OVERRIDE=0 \
    timeout 60 "$python" benchmarks/gpu/record.py activity "$out/recorded/activity.json" models/squeezenet models/resnet50 2>&1 | tail -n 30
say "both io modes, with and without graphs"
limit "${MAIN_S:-400}" --run_id graphs -r both -i zoo -t 200 --warmup 50 --launches 5 -b both --cuda_graph both -e cuda \
    --models squeezenet shufflenet inception_v1 resnet50 --timeout 60
say "models that cannot be captured"
limit 40 --run_id declined -r validate -i zoo --cuda_graph on -e cuda --jobs 4 \
    --models loop_if encoder text_recogniser detector int8_qdq densenet121 --timeout 30
say "the device broken on purpose"
limit 40 --run_id faults -r validate -i zoo --models squeezenet --jobs 1 -e CudaFaults \
    -k 'trap or illegal or oom' --timeout 30 \
    --ep_options 'CudaFaults[trap]:how=trap' 'CudaFaults[illegal]:how=illegal' 'CudaFaults[oom]:how=oom'
say "NVML's series"
(cd "$work" && timeout 60 "$python" "$root/benchmarks/gpu/record.py" nvml "$out/recorded/nvml.json" -- \
    "$python" "$root/benchmark_wrapper.py" -m "$root/model_list.json" -o "$out/result" --run_id nvml -r benchmark -i zoo \
    -t 500 --launches 1 --no_device_time -e cuda --models resnet50 2>&1 | tail -n 6)
say "with and without the write fence"
for fence in --fence --no_fence --fence --no_fence; do
    LINES_SHOWN=3 limit 25 -r benchmark -i zoo -t 20 --launches 5 --no_device_time -e cuda --models squeezenet "$fence" \
        --label "fence$fence" --timeout 20
done
"$python" - "$out"/result <<'PY'
import json, statistics, sys
from pathlib import Path
for run in sorted(Path(sys.argv[1]).glob("*/run.json")):
    told = json.loads(run.read_text())
    if told["label"].startswith("fence"):
        launches = [json.loads(p.read_text()) for p in run.parent.glob("cells/*/*/*/measure_*/launch.json")]
        walls = sorted(x["ending"]["wall_s"] for x in launches)
        print(told["label"], "wall s of a launch", walls, "median", statistics.median(walls or [float("nan")]))
PY
say "pack"
"$python" benchmarks/gpu/summary.py "$out"/result/*/cells.csv
tar -C "$out" -czf "$out/result.tar.gz" --exclude='*.npy' --exclude='*.onnx' --exclude='cache' result recorded
rm -rf "$out/result" "$out/recorded"
say "done"
