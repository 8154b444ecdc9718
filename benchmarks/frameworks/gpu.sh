#!/usr/bin/env bash
# PyTorch's targets on a machine with an NVIDIA GPU and no network, within 9 minutes: eager, script and compile in fp32, TF32,
# fp16 and bf16; batches until memory runs out, with the next cell clean; a detection model; a precision matrix; joules and watts.
#   usage: gpu.sh OUT     PYTHON (default python3) needs torch, numpy, onnx, onnxruntime, rich, nvidia-ml-py and PyYAML
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
python=$(command -v "${PYTHON:-python3}")
work=${WORK:-/tmp/ep-perf-frameworks}
mkdir -p "$work"
cd "$root" || exit 2
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
common=(-o "$work/result" --env "torch=$python" --keep_cache "$work/cache")
networks=setup_models.networks

say() { echo "== $(date +%T) $*"; }
limit() { # seconds, words: SIGTERM leaves the tables of what ended
    timeout -k 10 "$1" "$python" "${@:2}" "${common[@]}"
    echo "exit $?"
}
last() { # a table of the run that ended last, whatever became of its own
    "$python" -m perf.cli.batch_run --runs "$work/result/latest"
}

{
    say "versions"
    nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit --format=csv,noheader
    "$python" -c 'import torch, numpy, onnx, onnxruntime, rich, pynvml, yaml; print(torch.__version__, torch.version.cuda)' || exit 3
    say "eager, script and compile x fp32, TF32, fp16, bf16"
    precise=()
    for target in torch torch_script torch_compile; do precise+=("$target" "${target}_tf32" "${target}_fp16" "${target}_bf16"); done
    limit 190 -m perf.cli.batch_run -m "VGG16=$networks.classifiers:vgg16" --batch_sizes 32 -e "${precise[@]}" --iterations 100 --launches 2
    last
    say "batches of DenseNet201"
    limit 105 -m perf.cli.batch_run -m "DenseNet201=$networks.classifiers:densenet201" --batch_sizes 1,32,256 \
        -e torch torch_fp16 torch_script torch_script_fp16 --iterations 30
    last
    say "batches until memory runs out, and a small one after them"
    limit 75 -m perf.cli.batch_run -m "Outer=benchmarks.frameworks.out_of_memory:outer" --batch_sizes 1,256,4096,16 -e torch --iterations 10 --warmup 2
    say "a precision matrix"
    timeout -k 10 40 "$python" -m scripts.export_tensorrt "out=$work/exported" image.height=512 image.width=512 "env=torch=$python"
    limit 50 -m scripts.benchmark_gpu "compile_run_path=$work/exported" n_iter=100 \
        --precisions fp32,tf32,fp16,bf16,fp32+fp16,fp32+bf16,fp32+bf16+fp16
    say "a detection model"
    limit 60 run_blade.py --model testRetinaNet --iterations 20 --warmup 5
    say "done"
} 2>&1 | tee "$out/log.txt"
status=${PIPESTATUS[0]}
"$python" -m perf.honesty "$work"/result/2*/ >"$out/honesty.txt" 2>&1 || true
tar -C "$work" -czf "$out/result.tar.gz" --exclude='*.npy' --exclude='*.ts' --exclude='cache' --exclude='exported' result
for run in "$work"/result/2*/; do
    [ -f "$run/cells.csv" ] && cat "$run/cells.csv"
done >"$out/cells.csv"
exit "$status"
