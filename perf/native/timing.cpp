#include "timing.h"

#include <time.h>

#include <algorithm>
#include <fstream>

#include "account.h"

namespace native {
namespace {

constexpr size_t FEWEST = 20;  // runs, where their number is not asked for
constexpr int64_t MOST = 1000;
constexpr size_t EMPTY_PAIRS = 201;
constexpr int64_t LONGEST = 200'000;  // samples that a journal may hold

int64_t read_clock(clockid_t clock) {
  timespec at{};
  clock_gettime(clock, &at);
  return at.tv_sec * 1'000'000'000LL + at.tv_nsec;
}

int64_t clock_ns() { return read_clock(CLOCK_MONOTONIC); }

int64_t empty_clock_ns() {
  std::vector<int64_t> pairs(EMPTY_PAIRS);
  for (auto& pair : pairs) {
    const int64_t began = clock_ns();
    pair = clock_ns() - began;
  }
  std::nth_element(pairs.begin(), pairs.begin() + EMPTY_PAIRS / 2, pairs.end());
  return pairs[EMPTY_PAIRS / 2];
}

// Time that this thread was runnable and not running; -1 where the kernel does not say.
int64_t run_delay_ns() {
  std::ifstream in("/proc/thread-self/schedstat");
  int64_t on_cpu = 0, waiting = 0;
  return in >> on_cpu >> waiting ? waiting : -1;
}

void loop(Engine& engine, size_t sets, const Protocol& protocol, Timed& out) {
  const auto most = static_cast<size_t>(std::min(protocol.runs.value_or(MOST), LONGEST));
  std::vector<int64_t> samples(most);
  int64_t ended = clock_ns();
  const int64_t enough = ended + static_cast<int64_t>(protocol.min_time_s * 1e9);
  const int64_t too_long = ended + static_cast<int64_t>(protocol.max_time_s * 1e9);
  size_t k = 0;
  for (; k < most; ++k) {
    const bool done = (k >= FEWEST && ended >= enough) || (k && ended >= too_long);
    if (!protocol.runs && done) break;
    const size_t set = k % sets;
    const int64_t began = clock_ns();
    engine.run(set);
    ended = clock_ns();
    samples[k] = ended - began;
    if (k == 0) out.first = engine.outputs();
  }
  samples.resize(k);
  out.samples_ns = std::move(samples);
}

}  // namespace

Timed time_runs(Engine& engine, size_t sets, const Protocol& protocol) {
  Timed out;
  out.sets = sets;
  out.warmup = protocol.warmup ? std::max(protocol.warmup, static_cast<int64_t>(sets)) : 0;
  for (int64_t i = 0; i < out.warmup; ++i) engine.run(static_cast<size_t>(i) % sets);
  out.floor_ns = empty_clock_ns();
  const int64_t delay = run_delay_ns(), cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID);
  out.begun_s = now_s();
  loop(engine, sets, protocol, out);
  out.ended_s = now_s();
  out.cpu_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  const int64_t later = run_delay_ns();
  if (delay >= 0 && later >= 0) out.run_delay_ns = std::max<int64_t>(0, later - delay);
  out.last = engine.outputs();
  return out;
}

}  // namespace native
