#!/usr/bin/env bash
# Device time and CUDA graphs on a machine with an NVIDIA GPU and no network, and recordings of what it said; within 480 s.
#   usage: graphs.sh PIECES OUT     as environment.sh says; a wheel of nvidia-cuda-cupti beside the pieces is tried, too
set -uo pipefail
# shellcheck source=benchmarks/gpu/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

hidden() { # PATTERN… -- COMMAND: in a mount namespace of its own, with broken files over libraries of these names
    local files=()
    while [ "$1" != -- ]; do
        mapfile -t -O "${#files[@]}" files < <(find / -xdev -name "$1" -type f 2>/dev/null)
        shift
    done
    shift
    echo broken >"$work/broken"
    # shellcheck disable=SC2016  # expanded by the inner shell
    unshare --mount bash -c '
        broken=$1 count=$2; shift 2
        for file in "${@:1:count}"; do mount --bind "$broken" "$file" || exit 9; done
        shift "$count"; exec "$@"' - "$work/broken" "${#files[@]}" "${files[@]}" "$@"
}
activity() { # folder that CUPTI comes from first, file, models
    PYTHONPATH=$work/ort:$PYTHONPATH LD_LIBRARY_PATH=$1:$libraries:$driver ORT_DISABLE_TELEMETRY=1 NVIDIA_TF32_OVERRIDE=0 \
        timeout 60 "$python" benchmarks/gpu/record.py activity "$out/recorded/$2" "${@:3}" 2>&1 | grep -v '\[W:onnxruntime' | tail -n 16
}

{
    say "records of activities; replays against runs without the graph, and planted stale buffers"
    activity "$libraries" activity.json models/squeezenet models/resnet50
    wheel=$(find "$pieces" -name 'nvidia_cuda_cupti-*.whl' | head -n 1)
    if [ -n "$wheel" ]; then
        say "the same by $(basename "$wheel")"
        "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$work/cupti" "$wheel"
        activity "$work/cupti/nvidia/cu13/lib" activity_of_wheel.json models/squeezenet
    fi
    say "why launches of a graph differ from host to host: as it is, without NVML beside it, and on one core"
    for how in "" "--no_track_memory" "--cpu_affinity 4"; do
        echo "-- ${how:-as it is}"
        # shellcheck disable=SC2086  # words
        LINES_SHOWN=3 limit 45 --run_id "spread$(echo "$how" | tr -dc 'a-z0-9')" -r benchmark -i zoo -t 200 --warmup 50 --launches 8 \
            --no_device_time -e cuda --models squeezenet --cuda_graph on --timeout 30 $how
    done
    "$python" benchmarks/gpu/launch_spread.py "$out"/result/spread*/cells.csv
    say "without CUPTI: events around runs"
    LINES_SHOWN=4 hidden 'libcupti.so*' -- bash -c "cd '$work' && timeout -k 10 60 '$python' '$root/benchmark_wrapper.py' -m '$root/model_list.json' \
        -o '$out/result' --run_id events -r benchmark -i zoo -t 100 --warmup 50 --launches 2 -e cuda --models resnet50 -b on --cuda_graph both \
        --timeout 30" 2>&1 | tail -n 6
    say "without cuDNN and cuBLAS"
    hidden 'libcudnn*.so*' 'libcublas*.so*' -- bash -c "cd '$work' && timeout -k 10 40 '$python' '$root/benchmark_wrapper.py' -m '$root/model_list.json' \
        -o '$out/result' --run_id without -r validate -i zoo -e cuda --models squeezenet --timeout 30" 2>&1 | grep squeezenet | cut -c 1-300
    cp "$out"/result/without/cells/squeezenet/*/*/check/journal.jsonl "$out/recorded/without_libraries.jsonl"
    say "NVML's series of a launch, and its journal"
    (cd "$work" && timeout 60 "$python" "$root/benchmarks/gpu/record.py" nvml "$out/recorded/nvml.json" "$out/result/nvml" -- \
        "$python" "$root/benchmark_wrapper.py" -m "$root/model_list.json" -o "$out/result" --run_id nvml -r benchmark -i zoo \
        -t 1000 --launches 1 --no_device_time -e cuda --models resnet50 2>&1 | tail -n 2)
    say "PyTorch: eager and as graphs, fp32, TF32, bf16 and fp16, resident; device time"
    LINES_SHOWN=24 limit 200 --run_id torch -m setup_models.networks.classifiers:densenet201 --models densenet201 -r benchmark -t 50 --warmup 20 --launches 2 \
        --env "torch=$python" -e torch torch_tf32 torch_bf16 torch_fp16 -b on --cuda_graph both --percent_mismatch 2 --timeout 60
    if [ "${MAIN_S:-0}" -gt 0 ]; then # beyond the 480 s
        say "both io modes, with and without graphs"
        limit "$MAIN_S" --run_id graphs -r both -i zoo -t 200 --warmup 50 --launches 5 -b both --cuda_graph both -e cuda \
            --models squeezenet shufflenet inception_v1 resnet50 --timeout 60
    fi
    say "pack"
    pack
    say "done"
} 2>&1 | tee "$out/log.txt"
