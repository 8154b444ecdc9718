// A cell as the harness writes it (perf/schema/cell.py), as far as a runtime needs it.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine.h"

namespace native {

struct Protocol {
  std::optional<int64_t> runs;  // none: 20, then as many as fit min_time_s
  int64_t warmup = 3;
  double min_time_s = 1.0, max_time_s = 60.0;
};

struct TestSet {
  std::string name;
  Feed inputs;
};

struct Cell {
  std::string name, python;  // of the model; the interpreter of its environment
  bool torchscript = false;
  Settings settings;
  Protocol protocol;
  std::vector<TestSet> sets;
};

// The cell of a cell.json, or of the folder that it lies in; throws BadRequest or Declined.
Cell read_cell(const std::string& path);

}  // namespace native
