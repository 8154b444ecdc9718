// The timed loop, as perf/measure/timing.py has it: warm-up, then runs rotated over the sets, two clock reads each.
#pragma once
#include <cstdint>
#include <vector>

#include "cell.h"

namespace native {

struct Timed {
  std::vector<int64_t> samples_ns;
  int64_t warmup = 0, floor_ns = 0, cpu_ns = 0;
  int64_t run_delay_ns = -1;  // -1: the kernel does not say
  size_t sets = 0;
  double begun_s = 0, ended_s = 0;
  Feed first, last;  // outputs of the first and the last timed run
};

Timed time_runs(Engine& engine, size_t sets, const Protocol& protocol);

}  // namespace native
