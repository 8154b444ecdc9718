#!/usr/bin/env bash
# First run on a machine with an NVIDIA GPU and no network: assembles an environment for onnxruntime-gpu from wheel pieces,
# then lists, validates and benchmarks the offline set, and provokes every GPU failure that a harness must tell apart.
#   usage: run.sh PIECES OUT     PIECES: folder with onnxruntime_gpu-*.whl, or its pieces *.whl.part-*
#   PYTHON (default python3) needs numpy, onnx, rich, nvidia-ml-py, and pip's nvidia-* CUDA 13 libraries beside it
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
pieces=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
python=$(command -v "${PYTHON:-python3}")
work=${WORK:-/tmp/ep-perf-gpu}
mkdir -p "$work"
cd "$root" || exit 2
export PYTHONPATH=$root

say() { echo "== $(date +%T) $*"; }

assemble() {
    local wheel
    if [ -f "$work/ort/onnxruntime/__init__.py" ]; then return; fi
    wheel=$(find "$pieces" -maxdepth 1 -name '*.whl' | head -n 1)
    if [ -z "$wheel" ]; then
        wheel=$work/$(basename "$(find "$pieces" -maxdepth 1 -name '*.whl.part-*' | sort | head -n 1)" | sed 's/\.part-.*//')
        find "$pieces" -maxdepth 1 -name '*.whl.part-*' | sort | xargs cat >"$wheel"
    fi
    "$python" -m pip install --quiet --no-index --no-deps --target "$work/ort" "$wheel"
}

say "assemble"
assemble || exit 3
site=$("$python" -c 'import nvidia, os; print(next(iter(nvidia.__path__)))')
libraries=$(find "$site" -name 'lib*.so*' -printf '%h\n' | sort -u | paste -sd:)
driver=$(dirname "$(find /usr/local/nvidia /usr/lib -name 'libcuda.so.1' 2>/dev/null | head -n 1)")
cat >"$work/environments.toml" <<TOML
[current]
python = "current"

[cuda]
python = "$python"
targets = [
    "CUDAExecutionProvider", "CUDAExecutionProvider_fp16",
    "TensorrtExecutionProvider", "TensorrtExecutionProvider_fp16",
]
env = { PYTHONPATH = "$work/ort", LD_LIBRARY_PATH = "$libraries:$driver" }

[faults]                       # a fake engine that really breaks the device
python = "$python"
targets = ["CudaFaults"]
default = false
backend = "$root/benchmarks/gpu/cuda_faults.py"
env = { LD_LIBRARY_PATH = "$driver" }
TOML
wrapper() { (cd "$work" && "$python" "$root/benchmark_wrapper.py" -m "$root/model_list.json" -o "$out/result" "$@"); }
limit() { # seconds, flags: SIGTERM leaves the tables written
    local seconds=$1
    shift
    (cd "$work" && timeout -k 10 "$seconds" "$python" "$root/benchmark_wrapper.py" -m "$root/model_list.json" \
        -o "$out/result" "$@")
    echo "exit $?"
}
crippled() { # in a mount namespace of its own: empty folders over pip's CUDA libraries, broken ones first on the path
    mkdir -p "$work/empty" "$work/broken" "$work/without"
    for library in libcudnn.so.9 libcublasLt.so.13 libcublas.so.13; do echo broken >"$work/broken/$library"; done
    sed "s#LD_LIBRARY_PATH = \"#LD_LIBRARY_PATH = \"$work/broken:#" "$work/environments.toml" >"$work/without/environments.toml"
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare --mount bash -c '
        for folder in cudnn cu13; do mount --bind "$1/empty" "$2/$folder" || exit 9; done
        cd "$1/without" && shift 2 && exec timeout -k 10 60 "$@"' - "$work" "$site" \
        "$python" "$root/benchmark_wrapper.py" -m "$root/model_list.json" -o "$out/result" --run_id crippled \
        -r both -t 5 --launches 1 -i zoo --models squeezenet -e cuda --timeout 50
    echo "exit $?"
}
events() {
    for model in squeezenet resnet50; do
        PYTHONPATH=$work/ort:$root LD_LIBRARY_PATH=$libraries:$driver ORT_DISABLE_TELEMETRY=1 NVIDIA_TF32_OVERRIDE=0 \
            timeout 60 "$python" benchmarks/gpu/events.py "models/$model"
    done
}

say "versions"
nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm --format=csv,noheader
"$python" --version
say "models"
"$python" -m setup_models.offline | tail -n 3
"$python" benchmarks/gpu/too_large.py "$work/too_large"
say "list"
wrapper --list
say "the device broken on purpose, the next cell clean"
limit 60 --run_id faults -r validate -i zoo --models squeezenet --jobs 1 -e CudaFaults cuda \
    -k 'CUDAExecutionProvider or trap or illegal or oom' --timeout 60 \
    --ep_options 'CudaFaults[trap]:how=trap' 'CudaFaults[illegal]:how=illegal' 'CudaFaults[oom]:how=oom'
say "a model too large for the card"
limit 90 -m "$work/too_large" --run_id oom -r validate -i zoo -e cuda --timeout 80
say "libraries taken away"
crippled
say "device-resident timing against CUDA events, and a bare session.run loop"
events
say "both io modes, CPU, CUDA, CUDA fp16"
limit 330 --run_id main -r both -i zoo -t 50 --launches 3 -b both -e cpu cuda cuda:fp16 --timeout 60
say "energy over seconds, TF32 beside strict fp32"
limit 60 --run_id energy -r benchmark -i zoo -t 1000 --launches 2 -e cuda cuda:fp16 --models resnet50 --timeout 60
limit 60 --run_id tf32 -r both -i zoo -t 200 --launches 3 --tf32 -e cuda --models resnet50 --timeout 60
say "bare loops again"
events
say "pack"
"$python" benchmarks/gpu/summary.py "$out"/result/*/cells.csv
tar -C "$out" -czf "$out/result.tar.gz" --exclude='*.npy' --exclude='*.onnx' --exclude='cache' result
rm -rf "$out/result"
say "done"
