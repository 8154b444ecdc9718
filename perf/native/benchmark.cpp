// Times a TorchScript model without Python: the C++ runtime beside the harness's torch_script target.
//
//   build/benchmark --model model.ts [--n_iter=100] [--n_warmup=10] [--shape 1x3x256x256]… [--threads N] [--journal FILE]
//
// Inputs are drawn from seed 0 in the shapes given, else in those that the file was traced with. Each run is timed by
// two reads of the steady clock; on a GPU it is waited for. The journal is the harness's: one JSON event a line.
#include <ATen/Parallel.h>
#include <torch/cuda.h>
#include <torch/script.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>


namespace {

using Clock = std::chrono::steady_clock;

struct Asked {
  std::string model, journal;
  int64_t n_iter = 100, n_warmup = 10, threads = 0;
  std::vector<std::vector<int64_t>> shapes;
};

struct BadRequest : std::runtime_error {
  using std::runtime_error::runtime_error;
};

int64_t number_of(const std::string& name, const std::string& text, int64_t least) {
  size_t used = 0;
  int64_t value = 0;
  try {
    value = std::stoll(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || value < least)
    throw BadRequest(name + "=" + text + ": expected a number from " + std::to_string(least) + " on");
  return value;
}

std::vector<int64_t> shape_of(const std::string& text) {
  std::vector<int64_t> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('x', at), text.size());
    out.push_back(number_of("--shape", text.substr(at, end - at), 1));
    at = end + 1;
  }
  return out;
}

Asked read(int argc, char** argv) {
  Asked asked;
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i], value;
    const size_t equals = name.find('=');
    if (equals != std::string::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    } else if (i + 1 < argc) {
      value = argv[++i];
    }
    std::replace(name.begin() + std::min<size_t>(2, name.size()), name.end(), '-', '_');
    if (name == "--model") asked.model = value;
    else if (name == "--journal") asked.journal = value;
    else if (name == "--n_iter") asked.n_iter = number_of(name, value, 1);
    else if (name == "--n_warmup") asked.n_warmup = number_of(name, value, 0);
    else if (name == "--threads") asked.threads = number_of(name, value, 1);
    else if (name == "--shape") asked.shapes.push_back(shape_of(value));
    else
      throw BadRequest(name + ": no such flag; known are --model, --n_iter, --n_warmup, --shape, --threads, --journal");
  }
  if (asked.model.empty()) throw BadRequest("--model FILE is missing");
  if (!std::ifstream(asked.model)) throw BadRequest("no file " + asked.model);
  return asked;
}

// The journal's clock is the harness's: CLOCK_MONOTONIC in seconds, which is the steady clock on Linux.
double now_s() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

class Journal {
 public:
  explicit Journal(const std::string& path) {
    if (path.empty()) return;
    out_.open(path, std::ios::app);
    if (!out_) throw BadRequest("cannot write " + path);
    out_.precision(17);
  }
  template <typename... Parts>
  void emit(const Parts&... parts) {
    if (!out_.is_open()) return;
    (out_ << ... << parts) << '\n' << std::flush;
  }

 private:
  std::ofstream out_;
};

torch::jit::Module load(const std::string& path, torch::Device device) {
  try {
    torch::jit::ExtraFilesMap none;
    auto unit = std::make_shared<torch::jit::CompilationUnit>();
    auto module = torch::jit::import_ir_module(unit, path, device, none, true, /*restore_shapes=*/true);
    module.eval();
    return module;
  } catch (const c10::Error& e) {
    const std::string what = e.what_without_backtrace();
    const size_t at = what.find("Unknown builtin op: ");
    if (at != std::string::npos) {
      const std::string op = what.substr(at + 20, what.find_first_of(".\n", at + 20) - at - 20);
      throw BadRequest(path + " needs the operator " + op + ", whose library is not linked in here (" +
                       op.substr(0, op.find("::")) + "'s C++ library): this model is for the Python runtime");
    }
    throw BadRequest(path + ": " + what.substr(0, what.find('\n')));
  }
}

std::vector<torch::jit::IValue> inputs_of(const torch::jit::Module& module, const Asked& asked, torch::Device device) {
  torch::manual_seed(0);
  std::vector<torch::jit::IValue> out;
  const auto graph = module.get_method("forward").graph();
  for (size_t i = 1; i < graph->inputs().size(); ++i) {  // the first is the module
    const auto* value = graph->inputs()[i];
    const auto type = value->type()->cast<c10::TensorType>();
    if (!type) throw BadRequest("input " + value->debugName() + " is no tensor");
    std::vector<int64_t> shape;
    if (i <= asked.shapes.size()) shape = asked.shapes[i - 1];
    else if (const auto sizes = type->sizes().concrete_sizes()) shape = *sizes;
    else throw BadRequest("input " + value->debugName() + " tells no shape: give --shape 1x3x256x256, one for each input");
    out.emplace_back(torch::rand(shape).to(device));
  }
  return out;
}

int run(const Asked& asked) {
  torch::InferenceMode guard;
  if (asked.threads) at::set_num_threads(static_cast<int>(asked.threads));
  const bool gpu = torch::cuda::is_available();
  const torch::Device device(gpu ? torch::kCUDA : torch::kCPU);
  Journal journal(asked.journal);
  journal.emit(R"({"is":"Hello","pid":)", getpid(), R"(,"python":"","at_s":)", now_s(), R"(,"schema":2})");
  journal.emit(R"({"is":"Began","stage":"create","at_s":)", now_s(), "}");
  auto module = load(asked.model, device);
  const auto inputs = inputs_of(module, asked, device);
  module = torch::jit::freeze(module);  // which forgets the shapes
  const auto once = [&] {
    auto result = module.forward(inputs);
    if (gpu) torch::cuda::synchronize();
    return result;
  };
  journal.emit(R"({"is":"Began","stage":"time","at_s":)", now_s(), "}");
  for (int64_t i = 0; i < asked.n_warmup; ++i) once();
  std::vector<int64_t> samples(asked.n_iter);
  const double begun = now_s();
  for (auto& sample : samples) {
    const auto before = Clock::now();
    once();
    sample = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - before).count();
  }
  const double ended = now_s();
  std::string told;
  double mean = 0, squares = 0;
  for (const auto sample : samples) {
    told += (told.empty() ? "" : ", ") + std::to_string(sample);
    mean += sample / 1e6 / samples.size();
  }
  for (const auto sample : samples) squares += (sample / 1e6 - mean) * (sample / 1e6 - mean);
  journal.emit(R"({"is":"Timed","samples_ns":[)", told, R"(],"io":"device","sets":1,"warmup":)", asked.n_warmup,
               R"(,"floor_ns":0,"run_delay_ns":null,"throttled_us":null,"synchronised":true,"begun_s":)", begun,
               R"(,"ended_s":)", ended, "}");
  journal.emit(R"({"is":"Finished","at_s":)", now_s(), "}");
  std::cout << "**C++ Runtime, TorchScript**\n\n| model | device | runs | latency (ms) |\n|:------|:-------|:-----|:-------------|\n| "
            << asked.model << " | " << device << " | " << samples.size() << " | " << mean;
  if (samples.size() > 1) std::cout << " ± " << std::sqrt(squares / (samples.size() - 1));
  std::cout << " |\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(read(argc, argv));
  } catch (const BadRequest& e) {
    std::cerr << "error: " << e.what() << '\n';
    return 2;
  } catch (const std::exception& e) {
    const std::string what = e.what();
    std::cerr << "error: " << what.substr(0, what.find('\n')) << '\n';
    return 1;
  }
}
