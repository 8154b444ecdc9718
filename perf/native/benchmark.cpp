// Runs a model without Python: the C++ runtime beside the harness's targets CPUExecutionProvider and torch_script.
//
//   build/benchmark --model model.ts [--n_iter=100] [--n_warmup=10] [--shape 1x3x256x256]… [--threads N] [--journal FILE]
//   build/benchmark --cell CELL_JSON_OR_FOLDER [--out FOLDER]
//
// A model's inputs are drawn from seed 0, in the shapes given, else in its own. A cell is the harness's own: its sets are
// fed, its protocol is kept, and what a worker tells is told in FOLDER/journal.jsonl, outputs as .npy beside it. With
// --serve the program answers the harness instead: one request a line on its standard input, which is a socket.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iostream>
#include <random>

#include "account.h"
#include "cell.h"
#include "npy.h"

namespace native {
namespace {

namespace fs = std::filesystem;

const char* const USAGE =
    "--model FILE [--n_iter N] [--n_warmup N] [--shape 1x3x256x256]... [--threads N] [--journal FILE], or "
    "--cell CELL_JSON_OR_FOLDER [--out FOLDER]; both [--ort_library FILE] [--ops_library FILE]";

struct Asked {
  std::string model, cell, journal, out = ".", ort_library, ops_library;
  int64_t n_iter = 100, n_warmup = 10, threads = 0;
  std::vector<std::vector<int64_t>> shapes;
  bool serve = false, help = false;
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

void take(Asked& asked, const std::string& name, const std::string& value) {
  const std::map<std::string, std::string*> texts = {
      {"--model", &asked.model}, {"--cell", &asked.cell}, {"--journal", &asked.journal},
      {"--out", &asked.out},     {"--ort_library", &asked.ort_library}, {"--ops_library", &asked.ops_library}};
  if (const auto found = texts.find(name); found != texts.end()) *found->second = value;
  else if (name == "--n_iter") asked.n_iter = number_of(name, value, 1);
  else if (name == "--n_warmup") asked.n_warmup = number_of(name, value, 0);
  else if (name == "--threads") asked.threads = number_of(name, value, 1);
  else if (name == "--shape") asked.shapes.push_back(shape_of(value));
  else
    throw BadRequest(name + ": no such flag; known are --model, --cell, --out, --n_iter, --n_warmup, --shape, " +
                     "--threads, --journal, --ort_library, --ops_library");
}

Asked read(int argc, char** argv) {
  Asked asked;
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i], value;
    if (name == "--serve") {
      asked.serve = true;
      continue;
    }
    if (name == "--help" || name == "-h") {
      asked.help = true;
      return asked;
    }
    const size_t equals = name.find('=');
    if (equals != std::string::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    } else if (i + 1 < argc) {
      value = argv[++i];
    }
    std::replace(name.begin() + std::min<std::ptrdiff_t>(2, std::ssize(name)), name.end(), '-', '_');
    take(asked, name, value);
  }
  if (asked.model.empty() == asked.cell.empty()) throw BadRequest("--model FILE is missing, or --cell CELL");
  const std::string& file = asked.model.empty() ? asked.cell : asked.model;
  if (!fs::exists(file)) throw BadRequest("no file " + file);
  return asked;
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The library of the wheel that an interpreter's environment has; "" where there is none.
std::string ort_of(const fs::path& python) {
  std::error_code none;
  for (const auto& below : fs::directory_iterator(python.parent_path().parent_path() / "lib", none)) {
    const fs::path folder = below.path() / "site-packages/onnxruntime/capi";
    for (const auto& file : fs::directory_iterator(folder, none))
      if (file.path().filename().string().rfind("libonnxruntime.so", 0) == 0) return file.path();
  }
  return "";
}

std::unique_ptr<Engine> open_torch(const Settings& settings) {
  const fs::path library = fs::read_symlink("/proc/self/exe").parent_path() / TORCH_LIBRARY;
  if (!fs::exists(library))
    throw Declined("this program was built without PyTorch: `ep-perf env build torch`, then `make native`");
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!handle) throw Declined(std::string("PyTorch's libraries cannot be loaded, make native anew: ") + dlerror());
  const auto open = reinterpret_cast<OpenTorch>(dlsym(handle, TORCH_ENTRY));
  if (!open) throw Declined(library.string() + " is of another version: make native anew");
  return std::unique_ptr<Engine>(open(settings));
}

std::unique_ptr<Engine> open_engine(const Cell& cell, const Asked& asked) {
  Settings settings = cell.settings;
  if (!asked.ops_library.empty()) settings.ops_library = asked.ops_library;
  if (cell.torchscript) return open_torch(settings);
  settings.ort_library = asked.ort_library.empty() ? ort_of(cell.python) : asked.ort_library;
  if (settings.ort_library.empty())
    throw Declined("no libonnxruntime.so in the environment of " + cell.python + ": name one, --ort_library FILE");
  return open_ort(settings);
}

std::vector<Feed> feeds_of(const std::vector<TestSet>& sets) {
  std::vector<Feed> out;
  for (const auto& set : sets) out.push_back(set.inputs);
  return out;
}

const char* io_of(const Cell& cell) { return cell.settings.resident ? "device" : "host"; }

// --- a cell

// What a launch of the harness asks for, verb by verb; it counts what it wrote.
class Service {
 public:
  Service(Cell cell, const Asked& asked, Account& account)
      : cell_(std::move(cell)), folder_(fs::absolute(asked.out).string()), account_(account) {
    account_.begin("create");
    const double began = now_s();
    engine_ = open_engine(cell_, asked);
    account_.created(now_s() - began);
    account_.versions(*engine_);
  }

  const Cell& cell() const { return cell_; }

  // One run of each set, outputs written.
  void infer(const std::vector<TestSet>& sets) {
    account_.begin("run");
    const auto feeds = feeds_of(sets);
    engine_->feed(feeds, false);
    for (size_t i = 0; i < sets.size(); ++i) {
      const double began = now_s();
      engine_->run(i);
      account_.first_run(now_s() - began);
      account_.wrote(engine_->outputs(), sets[i].name, folder_, "run_" + std::to_string(written_++));
    }
    account_.host_memory();
  }

  // Timed runs by the protocol and io of a cell, and with its sets.
  Timed time(const Cell& asked) {
    account_.begin("time");
    const auto feeds = feeds_of(asked.sets);
    engine_->feed(feeds, asked.settings.resident);
    const Timed timed = time_runs(*engine_, feeds.size(), asked.protocol);
    account_.timed(timed, io_of(asked));
    account_.host_memory();
    account_.wrote(timed.first, "first", folder_, "first_" + std::to_string(written_));
    account_.wrote(timed.last, "last", folder_, "last_" + std::to_string(written_++));
    return timed;
  }

  void close() {
    account_.host_memory();
    account_.begin("close");
    engine_.reset();
    account_.finished();
  }

 private:
  Cell cell_;
  std::string folder_;
  Account& account_;
  std::unique_ptr<Engine> engine_;
  size_t written_ = 0;
};

void print_table(const std::string& what, const std::string& engine, const Timed& timed) {
  double mean = 0, squares = 0;
  const auto count = static_cast<double>(timed.samples_ns.size());
  for (const auto sample : timed.samples_ns) mean += static_cast<double>(sample) / 1e6 / count;
  for (const auto sample : timed.samples_ns) squares += std::pow(static_cast<double>(sample) / 1e6 - mean, 2);
  std::cout << "**C++ Runtime, " << engine << "**\n\n| model | runs | latency (ms) |\n|:------|:-----|:-------------|\n| "
            << what << " | " << timed.samples_ns.size() << " | " << mean;
  if (count > 1) std::cout << " ± " << std::sqrt(squares / (count - 1));
  std::cout << " |\n";
}

// One request: a verb and a cell to feed. A byte answers that it is done; the journal tells of it.
void serve(Service& service) {
  const auto answer = [] {
    if (write(STDIN_FILENO, "\n", 1) != 1) throw std::runtime_error("nobody listens");
  };
  answer();
  for (std::string line; std::getline(std::cin, line);) {
    const size_t space = line.find(' ');
    const std::string verb = line.substr(0, space);
    const Cell cell = read_cell(space == std::string::npos ? "" : line.substr(space + 1));
    if (cell.sets.empty()) throw BadRequest("a request without inputs");
    if (verb == "infer") service.infer(cell.sets);
    else if (verb == "time") service.time(cell);
    else
      throw BadRequest("no verb " + verb);
    answer();
  }
}

void run_cell(const Asked& asked, Account& account) {
  account.begin("load");
  Service service(read_cell(asked.cell), asked, account);
  if (asked.serve) {
    serve(service);
  } else {
    if (service.cell().sets.empty()) throw BadRequest(asked.cell + " names no inputs: name a cell of a run that ended");
    service.infer(service.cell().sets);
    const Timed timed = service.time(service.cell());
    print_table(service.cell().name, service.cell().torchscript ? "TorchScript" : "ONNX", timed);
  }
  service.close();
}

// --- a model

// Floats from [0, 1), whole numbers 0: a surely valid index.
Array drawn(const Port& port, std::mt19937_64& generator) {
  Array out{port.name, port.onnx_type, port.shape, {}};
  size_t count = 1;
  for (const auto dim : port.shape) count *= static_cast<size_t>(dim);
  const size_t each = bytes_of_type(port.onnx_type);
  if (!each) throw BadRequest("input " + port.name + " is of a type that cannot be drawn");
  out.bytes.resize(count * each);
  if (port.onnx_type == 1) {
    std::uniform_real_distribution<float> uniform;
    for (size_t i = 0; i < count; ++i) {
      const float value = uniform(generator);
      std::memcpy(out.bytes.data() + i * each, &value, each);
    }
  }
  return out;
}

Feed draw_inputs(const Engine& engine, const Asked& asked) {
  std::mt19937_64 generator(0);
  Feed out;
  for (auto port : engine.inputs()) {
    if (out.size() < asked.shapes.size()) {
      port.shape = asked.shapes[out.size()];
    } else if (!port.known || std::any_of(port.shape.begin(), port.shape.end(), [](int64_t d) { return d < 0; })) {
      throw BadRequest("input " + port.name + " tells no shape: give --shape 1x3x256x256, one for each input");
    }
    out.push_back(drawn(port, generator));
  }
  return out;
}

void run_model(const Asked& asked, Account& account) {
  Cell cell;
  cell.torchscript = !ends_with(asked.model, ".onnx");
  if (!cell.torchscript && asked.ort_library.empty())
    throw BadRequest("an ONNX model needs --ort_library FILE, the libonnxruntime.so of a wheel");
  cell.settings.model = asked.model;
  cell.settings.intra_op_threads = static_cast<int>(asked.threads);
  cell.settings.resident = true;
  if (cell.torchscript && fs::exists("/dev/nvidiactl")) cell.settings.device = "cuda:0";
  account.begin("create");
  const double began = now_s();
  const auto engine = open_engine(cell, asked);
  account.created(now_s() - began);
  account.versions(*engine);
  const std::vector<Feed> feeds = {draw_inputs(*engine, asked)};
  engine->feed(feeds, true);
  account.begin("time");
  const Timed timed = time_runs(*engine, 1, {asked.n_iter, asked.n_warmup});
  account.timed(timed, "device");
  account.host_memory();
  account.finished();
  print_table(asked.model, cell.torchscript ? "TorchScript" : "ONNX", timed);
}

// --- the end

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.substr(0, 2000);
}

bool is_host_memory(const std::string& text) {
  return text.find("Failed to allocate memory") != std::string::npos || text.find("bad_alloc") != std::string::npos;
}

int ended(const Asked& asked, Account& account, const std::function<void()>& work) {
  const auto tell = [&](const std::string& kind, const std::string& what, const std::string& memory) {
    account.raised(kind, one_line(what), memory);
    std::cerr << "error: " << one_line(what) << '\n';
  };
  try {
    work();
    return 0;
  } catch (const Declined& e) {
    account.declined(one_line(e.what()));
    account.finished();
    std::cerr << "error: " << one_line(e.what()) << '\n';
    return asked.cell.empty() ? 2 : 0;
  } catch (const BadRequest& e) {
    tell("BadRequest", e.what(), "");
    return 2;
  } catch (const DeviceMemoryExhausted& e) {
    tell("DeviceMemoryExhausted", e.what(), "device");
  } catch (const std::bad_alloc& e) {
    tell("MemoryError", e.what(), "host");
  } catch (const std::exception& e) {
    tell("RuntimeError", e.what(), is_host_memory(e.what()) ? "host" : "");
  }
  return 1;
}

int run(const Asked& asked) {
  const bool of_cell = !asked.cell.empty();
  Account account(of_cell ? asked.out + "/journal.jsonl" : asked.journal);
  account.hello();
  return ended(asked, account, [&] { of_cell ? run_cell(asked, account) : run_model(asked, account); });
}

}  // namespace
}  // namespace native

int main(int argc, char** argv) {
  try {
    const auto asked = native::read(argc, argv);
    if (asked.help) {
      std::cout << "usage: benchmark " << native::USAGE << '\n';
      return 0;
    }
    return native::run(asked);
  } catch (const std::exception& e) {
    std::cerr << "error: " << e.what() << '\n';
    return 2;
  }
}
