# shellcheck shell=bash
# Sourced: an environment for onnxruntime-gpu on a machine with an NVIDIA GPU and no network.
#   in: PIECES (a folder with the wheel's pieces piece.0 …, maybe other wheels) and OUT; PYTHON (default python3) needs numpy, onnx,
#   rich, nvidia-ml-py, and pip's nvidia-* CUDA 13 libraries beside it, as PyTorch's wheel brings them; WORK (default /tmp/ep-perf-gpu)
#   out: root, pieces, out, python, work, libraries, driver; say, limit; environments.toml in $work
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
pieces=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
python=$(command -v "${PYTHON:-python3}")
work=${WORK:-/tmp/ep-perf-gpu}
mkdir -p "$work" "$out/recorded"
cd "$root" || exit 2
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1

say() { echo "== $(date +%T) $*"; }
limit() { # seconds, flags of a run: SIGTERM leaves the tables written
    local seconds=$1
    shift
    (cd "$work" && timeout -k 10 "$seconds" "$python" "$root/benchmark_wrapper.py" -m "$root/model_list.json" \
        -o "$out/result" "$@" 2>&1 | tail -n "${LINES_SHOWN:-40}" | cut -c 1-400)
}
pack() { # result.tar.gz, and every table in one
    "$python" benchmarks/gpu/summary.py "$out"/result/*/cells.csv | tee "$out/summary.txt" | cut -c 1-300
    tar -C "$out" -czf "$out/result.tar.gz" --exclude='*.npy' --exclude='*.onnx' --exclude='cache' --exclude='*.html' result recorded
    rm -rf "$out/result" "$out/recorded"
}

if [ ! -f "$work/ort/onnxruntime/__init__.py" ]; then
    say "assemble"
    wheel=$work/onnxruntime_gpu-1.31.1-cp312-cp312-manylinux_2_28_x86_64.whl
    find "$pieces" -name 'piece.*' | sort | xargs cat >"$wheel"
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$work/ort" "$wheel" || exit 3
    rm "$wheel"
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
if [ ! -f models/resnet50/model.onnx ]; then
    say "models"
    "$python" -m setup_models.offline | tail -n 2
fi
say "versions"
nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,compute_cap,pci.bus_id --format=csv,noheader
