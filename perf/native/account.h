// What the program tells: the events of perf/schema/journal.py, one JSON line each, written unbuffered.
#pragma once
#include <string>
#include <vector>

#include "engine.h"
#include "timing.h"

namespace native {

double now_s();  // CLOCK_MONOTONIC, common to both sides

class Account {
 public:
  // Appends to a file; an empty path tells nobody.
  explicit Account(const std::string& journal);
  Account(const Account&) = delete;
  ~Account();

  void hello() const;
  void begin(const std::string& stage);
  void versions(const Engine& engine) const;
  void created(double seconds) const;
  void first_run(double seconds) const;
  void timed(const Timed& timed, const char* io) const;
  void host_memory() const;
  // Writes outputs as folder/stem_N.npy and tells of them as those of a set.
  void wrote(const Feed& outputs, const std::string& set, const std::string& folder, const std::string& stem) const;
  void declined(const std::string& reason) const;
  void raised(const std::string& kind, const std::string& message, const std::string& out_of_memory) const;
  void finished() const;

 private:
  void emit(const std::string& line) const;
  int fd_ = -1;
  double baseline_mib_ = 0;
  std::string stage_ = "start";
};

}  // namespace native
