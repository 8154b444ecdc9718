#include "account.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "json.h"
#include "npy.h"

namespace native {
namespace {

constexpr int SCHEMA = 2;  // of the events, perf/schema/version.py

std::string number(double value) {
  std::ostringstream out;
  out.precision(17);
  out << value;
  return out.str();
}

double status_mib(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(key + ":", 0) == 0) return std::atof(line.c_str() + key.size() + 1) / 1024;
  return 0;
}

template <typename T>
std::string listed(const std::vector<T>& values) {
  std::string out = "[";
  for (const auto& value : values) {
    if (out.size() > 1) out += ',';
    out += std::to_string(value);
  }
  return out + "]";
}

}  // namespace

double now_s() {
  timespec at{};
  clock_gettime(CLOCK_MONOTONIC, &at);
  return static_cast<double>(at.tv_sec) + static_cast<double>(at.tv_nsec) / 1e9;
}

Account::Account(const std::string& journal) : baseline_mib_(status_mib("VmRSS")) {
  if (journal.empty()) return;
  fd_ = open(journal.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) throw BadRequest("cannot write " + journal);
}

Account::~Account() {
  if (fd_ >= 0) close(fd_);
}

void Account::emit(const std::string& line) const {
  const std::string whole = line + "\n";
  for (size_t at = 0; fd_ >= 0 && at < whole.size();) {
    const ssize_t written = write(fd_, whole.data() + at, whole.size() - at);
    if (written < 0) throw std::runtime_error("cannot write the journal");
    at += static_cast<size_t>(written);
  }
}

void Account::hello() const {
  emit(R"({"is":"Hello","pid":)" + std::to_string(getpid()) + R"(,"python":"","at_s":)" + number(now_s()) +
       R"(,"schema":)" + std::to_string(SCHEMA) + "}");
}

void Account::begin(const std::string& stage) {
  stage_ = stage;
  emit(R"({"is":"Began","stage":")" + stage + R"(","at_s":)" + number(now_s()) + "}");
}

void Account::versions(const Engine& engine) const {
  const auto [name, version] = engine.version();
  emit(R"({"is":"Versions","versions":{)" + quoted(name) + ":" + quoted(version) + "}}");
}

void Account::created(double seconds) const { emit(R"({"is":"Created","seconds":)" + number(seconds) + "}"); }

void Account::first_run(double seconds) const { emit(R"({"is":"FirstRun","seconds":)" + number(seconds) + "}"); }

void Account::timed(const Timed& timed, const char* io) const {
  emit(R"({"is":"Timed","samples_ns":)" + listed(timed.samples_ns) + R"(,"io":")" + io + R"(","sets":)" +
       std::to_string(timed.sets) + R"(,"warmup":)" + std::to_string(timed.warmup) + R"(,"floor_ns":)" +
       std::to_string(timed.floor_ns) + R"(,"run_delay_ns":)" +
       (timed.run_delay_ns < 0 ? "null" : std::to_string(timed.run_delay_ns)) +
       R"(,"throttled_us":null,"synchronised":true,"begun_s":)" + number(timed.begun_s) + R"(,"ended_s":)" +
       number(timed.ended_s) + R"(,"cpu_ns":)" + std::to_string(timed.cpu_ns) + "}");
}

void Account::host_memory() const {
  emit(R"({"is":"HostMemory","baseline_mib":)" + number(baseline_mib_) + R"(,"peak_mib":)" +
       number(status_mib("VmHWM")) + "}");
}

void Account::wrote(const Feed& outputs, const std::string& set, const std::string& folder,
                    const std::string& stem) const {
  std::string files;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string path = folder + "/" + stem + "_" + std::to_string(i) + ".npy";
    write_npy(path, outputs[i]);
    files += std::string(i ? "," : "") + R"({"name":)" + quoted(outputs[i].name) + R"(,"path":)" + quoted(path) +
             R"(,"onnx_type":)" + std::to_string(outputs[i].onnx_type) + R"(,"shape":)" + listed(outputs[i].shape) + "}";
  }
  emit(R"({"is":"Wrote","outputs":[{"name":)" + quoted(set) + R"(,"inputs":[],"outputs":[)" + files + "]}]}");
}

void Account::declined(const std::string& reason) const {
  emit(R"({"is":"Declined","reason":)" + quoted(reason) + "}");
}

void Account::raised(const std::string& kind, const std::string& message, const std::string& out_of_memory) const {
  emit(R"({"is":"RaisedError","stage":")" + stage_ + R"(","kind":)" + quoted(kind) + R"(,"message":)" + quoted(message) +
       R"(,"out_of_memory":")" + out_of_memory + R"("})");
}

void Account::finished() const { emit(R"({"is":"Finished","at_s":)" + number(now_s()) + "}"); }

}  // namespace native
