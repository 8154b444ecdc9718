// A TorchScript file on libtorch, frozen and run as the harness's torch_script target runs it.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <sched.h>
#include <torch/cuda.h>
#include <torch/script.h>
#include <torch/version.h>

#include <algorithm>
#include <new>

#include "engine.h"

namespace native {
namespace {

// TensorProto.DataType and PyTorch's own type
const std::vector<std::pair<int, c10::ScalarType>> TYPES = {
    {1, torch::kFloat32}, {2, torch::kUInt8},    {3, torch::kInt8},     {5, torch::kInt16},
    {6, torch::kInt32},   {7, torch::kInt64},    {9, torch::kBool},     {10, torch::kFloat16},
    {11, torch::kDouble}, {16, torch::kBFloat16}, {14, c10::ScalarType::ComplexFloat},
};

c10::ScalarType scalar_of(const Array& array) {
  for (const auto& [onnx, scalar] : TYPES)
    if (onnx == array.onnx_type) return scalar;
  throw Declined("input '" + array.name + "' is of ONNX type " + std::to_string(array.onnx_type) +
                 ", which PyTorch is not fed here");
}

int onnx_of(c10::ScalarType scalar) {
  for (const auto& [onnx, own] : TYPES)
    if (own == scalar) return onnx;
  throw Declined(std::string("PyTorch's ") + c10::toString(scalar) + " is not told here: use the Python target");
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What PyTorch threw, in terms of the program.
template <typename Work>
auto translated(const Work& work) {
  try {
    return work();
  } catch (const c10::OutOfMemoryError& e) {
    throw DeviceMemoryExhausted(first_line(e.what_without_backtrace()));
  } catch (const c10::Error& e) {
    const std::string what = e.what_without_backtrace();
    if (what.find("DefaultCPUAllocator") != std::string::npos) throw std::bad_alloc();
    throw std::runtime_error(first_line(what));
  }
}

int usable_cores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

torch::jit::Module load(const Settings& settings, torch::Device device) {
  try {
    torch::jit::ExtraFilesMap none;
    auto unit = std::make_shared<torch::jit::CompilationUnit>();
    auto module = torch::jit::import_ir_module(unit, settings.model, device, none, true, /*restore_shapes=*/true);
    module.eval();
    return module;
  } catch (const std::exception& e) {  // of an operator torch::jit::ErrorReport, of a file c10::Error
    const auto* error = dynamic_cast<const c10::Error*>(&e);
    const std::string what = error ? error->what_without_backtrace() : e.what();
    const size_t at = what.find("Unknown builtin op: ");
    if (at == std::string::npos) throw BadRequest(settings.model + ": " + first_line(what));
    const std::string op = what.substr(at + 20, what.find_first_of(".\n", at + 20) - at - 20);
    const std::string library = op.substr(0, op.find("::"));
    throw Declined(settings.model + " needs the operator " + op + ", which libtorch does not have: name the library of " +
                   library + "'s operators (of its wheel, " + library + "/_C.so) with --ops_library, as an option "
                   "ops_library=FILE of the target, or use the Python target");
  }
}

// A tensor among a result, and its name as perf/backends/_torch/values.py gives it.
void add_leaves(const c10::IValue& value, const std::string& name, std::vector<std::pair<std::string, torch::Tensor>>& out) {
  if (value.isTensor()) {
    if (value.toTensor().defined()) out.emplace_back(name, value.toTensor());
  } else if (value.isGenericDict()) {
    for (const auto& item : value.toGenericDict()) {
      if (!item.key().isString()) throw Declined("output " + name + " is a dictionary whose keys are no strings");
      add_leaves(item.value(), name.empty() ? item.key().toStringRef() : name + "." + item.key().toStringRef(), out);
    }
  } else if (value.isTuple() || value.isList()) {
    const auto elements = value.isTuple() ? value.toTupleRef().elements().vec() : value.toListRef().vec();
    for (size_t i = 0; i < elements.size(); ++i) {
      const std::string number = std::to_string(i);
      add_leaves(elements[i], name.empty() ? "output_" + number : name + "[" + number + "]", out);
    }
  }
}

std::vector<std::pair<std::string, torch::Tensor>> leaves_of(const c10::IValue& result) {
  std::vector<std::pair<std::string, torch::Tensor>> out;
  add_leaves(result, result.isTensor() ? "output" : "", out);
  return out;
}

class TorchEngine final : public Engine {
 public:
  explicit TorchEngine(const Settings& settings) : device_(settings.device) {
    at::set_num_threads(settings.intra_op_threads ? settings.intra_op_threads : usable_cores());
    if (settings.inter_op_threads) at::set_num_interop_threads(settings.inter_op_threads);
    if (device_.is_cuda()) {
      if (!torch::cuda::is_available()) throw Declined("this libtorch sees no GPU here");
      at::globalContext().setAllowTF32CuBLAS(settings.tf32);  // strict fp32 unless it is asked for
      at::globalContext().setAllowTF32CuDNN(settings.tf32);
    }
    if (!settings.ops_library.empty() && !dlopen(settings.ops_library.c_str(), RTLD_NOW | RTLD_GLOBAL))
      throw BadRequest(std::string("cannot load the library of operators: ") + dlerror());
    module_ = load(settings, device_);
    learn_inputs();
    translated([&] { optimise(settings); });
  }

  std::vector<Port> inputs() const override {
    for (const auto& port : ports_)
      if (port.onnx_type < 0) throw Declined("input " + port.name + " is no tensor: only tensors can be fed");
    return ports_;
  }

  void feed(const std::vector<Feed>& sets, bool resident) override {
    result_ = c10::IValue();
    resident_ = resident;
    fed_.clear();
    bound_.clear();
    for (const auto& feed : sets) {
      fed_.push_back(ordered(feed));
      if (resident) bound_.push_back(translated([&] { return tensors(fed_.back()); }));
    }
    synchronise();
  }

  void run(size_t set) override {
    result_ = c10::IValue();
    try {
      if (resident_) {
        result_ = module_.forward(bound_[set]);
        synchronise();
      } else {
        result_ = module_.forward(tensors(fed_[set]));
        if (device_.is_cuda())
          for (auto& [name, tensor] : leaves_of(result_)) host_.emplace_back(name, tensor.cpu());
      }
    } catch (const c10::Error&) {
      translated([] { throw; });
    }
    host_.clear();
  }

  Feed outputs() const override {
    return translated([&] {
      Feed out;
      for (const auto& [name, tensor] : leaves_of(result_)) {
        const auto plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous();
        Array array{name, onnx_of(plain.scalar_type()), plain.sizes().vec(), {}};
        array.bytes.assign(static_cast<const char*>(plain.const_data_ptr()), plain.nbytes());
        out.push_back(std::move(array));
      }
      return out;
    });
  }

  std::pair<std::string, std::string> version() const override { return {"libtorch", TORCH_VERSION}; }

 private:
  struct Fed {
    void* data;
    std::vector<int64_t> shape;
    c10::ScalarType type;
  };

  void learn_inputs() {
    const auto graph = module_.get_method("forward").graph();
    for (size_t i = 1; i < graph->inputs().size(); ++i) {  // the first is the module
      const auto* value = graph->inputs()[i];
      const std::string whole = value->debugName();
      Port port{whole.substr(0, whole.find('.')), -1, {}, false};
      if (const auto type = value->type()->cast<c10::TensorType>()) {
        port.onnx_type = type->scalarType() ? onnx_of(*type->scalarType()) : 1;
        if (const auto sizes = type->sizes().concrete_sizes()) {
          port.shape = *sizes;
          port.known = true;
        }
      }
      ports_.push_back(std::move(port));
    }
  }

  void optimise(const Settings& settings) {
    const auto given = settings.options.find("optimization_pipeline");
    const std::string pipeline = given == settings.options.end() ? "freeze" : given->second;
    if (pipeline != "none" && pipeline != "freeze" && pipeline != "inference")
      throw Declined("optimization_pipeline=" + pipeline + ": use one of none, freeze, inference");
    if (pipeline == "none") return;
    module_ = torch::jit::freeze(module_);
    if (pipeline == "inference") module_ = torch::jit::optimize_for_inference(module_);
  }

  // A feed in the order of the module's inputs: by name where the names are the same, else by position.
  std::vector<Fed> ordered(const Feed& feed) const {
    if (feed.size() != ports_.size())
      throw Declined("the module takes " + std::to_string(ports_.size()) + " tensors and " +
                     std::to_string(feed.size()) + " are fed");
    const auto named = [&](const Port& port) {
      return std::find_if(feed.begin(), feed.end(), [&](const Array& a) { return a.name == port.name; });
    };
    const bool by_name =
        std::all_of(ports_.begin(), ports_.end(), [&](const Port& p) { return named(p) != feed.end(); });
    std::vector<Fed> out;
    for (size_t i = 0; i < ports_.size(); ++i) {
      const Array& array = by_name ? *named(ports_[i]) : feed[i];
      out.push_back({const_cast<char*>(array.bytes.data()), array.shape, scalar_of(array)});
    }
    return out;
  }

  std::vector<c10::IValue> tensors(const std::vector<Fed>& fed) const {
    std::vector<c10::IValue> out;
    out.reserve(fed.size());
    for (const auto& one : fed) {
      auto tensor = torch::from_blob(one.data, one.shape, one.type);
      out.emplace_back(device_.is_cuda() ? tensor.to(device_) : std::move(tensor));
    }
    return out;
  }

  void synchronise() const {
    if (device_.is_cuda()) torch::cuda::synchronize(device_.index());
  }

  c10::InferenceMode guard_;
  torch::Device device_;
  torch::jit::Module module_;
  std::vector<Port> ports_;
  std::vector<std::vector<Fed>> fed_;
  std::vector<std::vector<c10::IValue>> bound_;
  std::vector<std::pair<std::string, torch::Tensor>> host_;  // results of a GPU on the host, of the run at hand
  c10::IValue result_;
  bool resident_ = false;
};

}  // namespace
}  // namespace native

extern "C" native::Engine* open_torch_engine(const native::Settings& settings) {
  return new native::TorchEngine(settings);
}
