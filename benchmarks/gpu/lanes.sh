#!/usr/bin/env bash
# What measuring on two GPUs at once does to each: cells on both as replicas, in turn and in lanes, with a trial of the lanes and an A/B.
#   usage: lanes.sh PIECES OUT     as environment.sh says; within 250 s
set -uo pipefail
# shellcheck source=benchmarks/gpu/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

{
    say "how GPUs and cores are joined"
    nvidia-smi topo -m | cut -c 1-200
    lscpu | grep -E 'Model name|Thread|Core|Socket|NUMA'
    for gpu in /sys/bus/pci/devices/*/class; do
        if grep -q '^0x0302' "$gpu"; then echo "${gpu%/class} node $(cat "${gpu%/class}/numa_node") cpus $(cat "${gpu%/class}/local_cpulist")"; fi
    done
    say "the trial that --lanes makes"
    LINES_SHOWN=90 limit 90 --run_id trial -r benchmark -i zoo -t 200 --warmup 50 --launches 1 --no_device_time -e cuda \
        --models squeezenet resnet50 --devices 0,1 --lanes --timeout 30 | grep -E '^lanes|cells:'
    turn=0
    for way in never always always never; do
        turn=$((turn + 1))
        say "lanes: $way"
        LINES_SHOWN=4 limit 75 --run_id "${way}_$turn" -r benchmark -i zoo -t 200 --warmup 50 --launches 3 --no_device_time -e cuda \
            --models squeezenet shufflenet resnet50 --cuda_graph both -k '(shufflenet and not cuda_graph) or (cuda_graph and not shufflenet)' \
            --devices 0,1 --replicas --lanes "$way" --timeout 30
    done
    say "two replicas as the sides of an A/B"
    LINES_SHOWN=12 limit 50 --run_id replicas -r benchmark -i zoo --no_device_time --devices 0,1 --replicas --models resnet50 \
        --cuda_graph on --ab 'cuda[cuda_graph=on,device=0]' 'cuda[cuda_graph=on,device=1]' --max_minutes 0.6 --timeout 30
    say "table"
    "$python" -m benchmarks.gpu.lanes "$out/result" | tee "$out/lanes.md"
    say "pack"
    pack
    say "done"
} 2>&1 | tee "$out/log.txt"
