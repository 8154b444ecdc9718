#!/usr/bin/env bash
# What reading a GPU's counters does to launches of short runs: a graph from host to host, with and without, as ABBA; within 150 s.
#   usage: spread.sh PIECES OUT     as environment.sh says
set -uo pipefail
# shellcheck source=benchmarks/gpu/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

{
    turn=0
    for how in --no_track_memory --track_memory --track_memory --no_track_memory; do
        turn=$((turn + 1))
        say "$how"
        LINES_SHOWN=1 limit 40 --run_id "${how#--}_$turn" -r benchmark -i zoo -t 200 --warmup 50 --launches 16 --no_device_time -e cuda \
            --models squeezenet --cuda_graph on --timeout 30 "$how"
    done
    "$python" benchmarks/gpu/launch_spread.py "$out"/result/*track_memory_*/cells.csv
    pack
    say "done"
} 2>&1 | tee "$out/log.txt"
