// What an engine is to the program: a model loaded once, fed arrays, run set by set.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace native {

// A flag or a file that the user has to correct: one line, exit status 2.
struct BadRequest : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A cell that cannot be served here, for a reason: the journal's Declined.
struct Declined : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Memory of a device that ran out, known as such by its engine.
struct DeviceMemoryExhausted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A tensor's values in row-major order; `onnx_type` is TensorProto.DataType.
struct Array {
  std::string name;
  int onnx_type = 0;
  std::vector<int64_t> shape;
  std::string bytes;
};

using Feed = std::vector<Array>;

// An input as the model declares it; a dimension of any size is -1, and without `known` nothing is told of the shape.
struct Port {
  std::string name;
  int onnx_type = 0;
  std::vector<int64_t> shape;
  bool known = false;
};

// What a cell asks of an engine.
struct Settings {
  std::string model, graph_optimization = "all", device = "cpu", ort_library, ops_library;
  std::map<std::string, std::string> options, session_config;
  std::vector<std::string> custom_ops;
  int intra_op_threads = 0, inter_op_threads = 0;
  bool resident = false;  // io=device: tensors are bound, or moved, before the clock runs
  bool tf32 = false;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::vector<Port> inputs() const = 0;
  // Makes the engine's values of these arrays, which stay where they are while it runs.
  virtual void feed(const std::vector<Feed>& sets, bool resident) = 0;
  // One run of one set, ended on the device when it returns; frees what the run before gave.
  virtual void run(size_t set) = 0;
  // Copies of what the last run gave.
  virtual Feed outputs() const = 0;
  virtual std::pair<std::string, std::string> version() const = 0;
};

std::unique_ptr<Engine> open_ort(const Settings& settings);

// In a library of its own beside the program, so that a run of ONNX Runtime loads no PyTorch.
constexpr const char* TORCH_LIBRARY = "libbenchmark_torch.so";
constexpr const char* TORCH_ENTRY = "open_torch_engine";
using OpenTorch = Engine* (*)(const Settings&);

size_t bytes_of_type(int onnx_type);  // 0 for what has no whole bytes an element: strings, 4 bits

}  // namespace native
