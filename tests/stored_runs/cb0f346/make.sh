#!/usr/bin/env bash
# Made once with the harness of commit cb0f346 in /srv/lab/ep-perf, on a machine named lab-1 (unshare --uts).
set -u
cd /srv/lab
rm -rf result other
export PYTHONPATH=/srv/lab/ep-perf/tests/fakes/nvml CUDA_VISIBLE_DEVICES=0
run() { ep-perf/.venv/bin/python ep-perf/benchmark_wrapper.py -m models -i zoo -t 4 --launches 2 --warmup 1 "$@"; }
run -r both --run_id outcomes --label first --timeout run=3 \
  -e cpu fake fake:fp16 cpu@gone \
  --ep_options 'fake[raised]:how=raise' 'fake[crashed]:how=segfault' 'fake[memory]:how=oom' 'fake[hung]:how=hang' \
  'fake[fell_back]:how=fall_back' 'fake:fp16[fp32]:how=stay_fp32' 'fake[declined]:how=decline' \
  -k '(relu and (cpu or fake)) or (not relu and cpu and not gone)' > outcomes.txt
run -r benchmark --run_id again -e cpu fake --label second -k 'cpu or relu' > again.txt
run -r both --run_id interrupted -o other -e cpu fake -k 'relu or cpu' -t 300 > interrupted.txt 2>&1 &
wrapper=$!
until ls other/interrupted/cells/relu/*/*/measure_0/launch.json >/dev/null 2>&1; do sleep 0.02; done
kill -9 $wrapper
