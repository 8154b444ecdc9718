// An ONNX model on ONNX Runtime's CPU provider, by the C API of the library that its Python wheel carries.
#include <dlfcn.h>

#include "engine.h"
#include "ort_api.h"

namespace native {
namespace {

// The library's table of functions; a status that is none of success is thrown with its message.
class Api {
 public:
  explicit Api(const std::string& library) {
    void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) throw BadRequest(std::string("cannot load ONNX Runtime: ") + dlerror());
    const auto get_base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
    if (!get_base) throw BadRequest(library + " is no library of ONNX Runtime: it has no OrtGetApiBase");
    version = get_base()->GetVersionString();
    table_ = get_base()->GetApi(ORT_API);
    if (!table_)
      throw BadRequest(library + " is ONNX Runtime " + version + ", which offers no API version " +
                       std::to_string(ORT_API) + ": use 1.11 or newer");
  }

  template <typename E, typename... Args>
  void call(Args... args) const {
    if (Status status = E::of(table_)(args...)) {
      const std::string message = GetErrorMessage::of(table_)(status);
      ReleaseStatus::of(table_)(status);
      throw std::runtime_error(message);
    }
  }

  template <typename E, typename T>
  void release(T* value) const {
    if (value) E::of(table_)(value);
  }

  // The entry itself, for a timed loop.
  template <typename E>
  auto entry() const {
    return E::of(table_);
  }

  std::string version;

 private:
  const void* const* table_ = nullptr;
};

// A value of the library's, released with its own function.
template <typename T, typename Release>
class Held {
 public:
  explicit Held(const Api& api) : api_(&api) {}
  Held(Held&& other) noexcept : api_(other.api_), value_(std::exchange(other.value_, nullptr)) {}
  Held(const Held&) = delete;
  ~Held() { api_->release<Release>(value_); }
  T* get() const { return value_; }
  T** out() { return &value_; }

 private:
  const Api* api_;
  T* value_ = nullptr;
};

using Value = Held<OrtValue, ReleaseValue>;
using Binding = Held<OrtIoBinding, ReleaseIoBinding>;

int optimisation_level(const std::string& name) {
  static const std::map<std::string, int> levels = {
      {"disable", 0}, {"basic", 1}, {"extended", 2}, {"layout", 3}, {"all", 99}};
  const auto found = levels.find(name);
  if (found == levels.end()) throw Declined("no optimisation level " + name + " is known here");
  return found->second;
}

struct SetValues {
  std::vector<const char*> names;
  std::vector<Value> held;
  std::vector<const OrtValue*> values;
};

class OrtEngine final : public Engine {
 public:
  explicit OrtEngine(const Settings& settings)
      : api_(settings.ort_library), env_(api_), memory_(api_), session_(api_) {
    api_.call<CreateEnv>(ORT_LOG_WARNING, "benchmark", env_.out());
    api_.call<CreateCpuMemoryInfo>(ORT_ARENA_ALLOCATOR, ORT_MEMORY_DEFAULT, memory_.out());
    api_.call<GetAllocatorWithDefaultOptions>(&allocator_);
    Held<OrtSessionOptions, ReleaseSessionOptions> options(api_);
    api_.call<CreateSessionOptions>(options.out());
    api_.call<SetSessionGraphOptimizationLevel>(options.get(), optimisation_level(settings.graph_optimization));
    api_.call<SetIntraOpNumThreads>(options.get(), settings.intra_op_threads);
    api_.call<SetInterOpNumThreads>(options.get(), settings.inter_op_threads);
    if (settings.inter_op_threads > 1)  // else ORT ignores the number
      api_.call<SetSessionExecutionMode>(options.get(), ORT_PARALLEL);
    const auto arena = settings.options.find("use_arena");
    if (arena != settings.options.end() && arena->second == "0") api_.call<DisableCpuMemArena>(options.get());
    for (const auto& [key, value] : settings.session_config)
      api_.call<AddSessionConfigEntry>(options.get(), key.c_str(), value.c_str());
    for (const auto& library : settings.custom_ops) {
      void* handle = nullptr;
      api_.call<RegisterCustomOpsLibrary>(options.get(), library.c_str(), &handle);
    }
    api_.call<CreateSession>(env_.get(), settings.model.c_str(), options.get(), session_.out());
    learn_names();
  }

  ~OrtEngine() override { drop_outputs(); }

  std::vector<Port> inputs() const override {
    std::vector<Port> out;
    for (size_t i = 0; i < input_names_.size(); ++i) {
      Held<OrtTypeInfo, ReleaseTypeInfo> type(api_);
      api_.call<SessionGetInputTypeInfo>(session_.get(), i, type.out());
      const OrtTensorInfo* tensor = nullptr;
      api_.call<CastTypeInfoToTensorInfo>(type.get(), &tensor);
      if (!tensor) throw Declined("input '" + input_names_[i] + "' is no tensor");
      out.push_back({input_names_[i], type_of(tensor), shape_of(tensor), true});
    }
    return out;
  }

  void feed(const std::vector<Feed>& sets, bool resident) override {
    drop_outputs();
    bindings_.clear();
    sets_.clear();
    for (const auto& feed : sets) {
      SetValues values;
      for (const auto& array : feed) {
        values.held.emplace_back(api_);
        api_.call<CreateTensorWithDataAsOrtValue>(
            memory_.get(), const_cast<char*>(array.bytes.data()), array.bytes.size(), array.shape.data(),
            array.shape.size(), array.onnx_type, values.held.back().out());
        values.names.push_back(array.name.c_str());
        values.values.push_back(values.held.back().get());
      }
      sets_.push_back(std::move(values));
    }
    if (resident)
      for (const auto& set : sets_) bind(set);
  }

  void run(size_t set) override {
    last_ = set;
    if (!bindings_.empty()) {
      check(run_bound_(session_.get(), nullptr, bindings_[set].get()));
      return;
    }
    drop_outputs();
    const SetValues& fed = sets_[set];
    check(run_(session_.get(), nullptr, fed.names.data(), fed.values.data(), fed.values.size(), output_pointers_.data(),
               outputs_.size(), outputs_.data()));
  }

  Feed outputs() const override {
    if (bindings_.empty()) return copied(outputs_.data());
    OrtValue** values = nullptr;
    size_t count = 0;
    api_.call<GetBoundOutputValues>(bindings_[last_].get(), allocator_, &values, &count);
    Feed out;
    std::string problem;
    try {
      out = copied(values);
    } catch (const Declined& e) {
      problem = e.what();
    }
    for (size_t i = 0; i < count; ++i) api_.release<ReleaseValue>(values[i]);
    api_.call<AllocatorFree>(allocator_, static_cast<void*>(values));
    if (!problem.empty()) throw Declined(problem);
    return out;
  }

  std::pair<std::string, std::string> version() const override { return {"onnxruntime", api_.version}; }

 private:
  void check(Status status) const {
    if (!status) return;
    const std::string message = api_.entry<GetErrorMessage>()(status);
    api_.release<ReleaseStatus>(status);
    throw std::runtime_error(message);
  }

  std::string taken(char* name) const {
    const std::string out = name;
    api_.call<AllocatorFree>(allocator_, static_cast<void*>(name));
    return out;
  }

  void learn_names() {
    size_t inputs = 0, outputs = 0;
    api_.call<SessionGetInputCount>(session_.get(), &inputs);
    api_.call<SessionGetOutputCount>(session_.get(), &outputs);
    char* name = nullptr;
    for (size_t i = 0; i < inputs; ++i) {
      api_.call<SessionGetInputName>(session_.get(), i, allocator_, &name);
      input_names_.push_back(taken(name));
    }
    for (size_t i = 0; i < outputs; ++i) {
      api_.call<SessionGetOutputName>(session_.get(), i, allocator_, &name);
      output_names_.push_back(taken(name));
    }
    for (const auto& each : output_names_) output_pointers_.push_back(each.c_str());
    outputs_.assign(outputs, nullptr);
  }

  void bind(const SetValues& set) {
    bindings_.emplace_back(api_);
    api_.call<CreateIoBinding>(session_.get(), bindings_.back().out());
    for (size_t i = 0; i < set.names.size(); ++i)
      api_.call<BindInput>(bindings_.back().get(), set.names[i], set.values[i]);
    for (const char* name : output_pointers_)
      api_.call<BindOutputToDevice>(bindings_.back().get(), name, memory_.get());
  }

  void drop_outputs() {
    for (auto& value : outputs_) {
      if (value) release_value_(value);
      value = nullptr;
    }
  }

  int type_of(const OrtTensorInfo* tensor) const {
    int type = 0;
    api_.call<GetTensorElementType>(tensor, &type);
    return type;
  }

  std::vector<int64_t> shape_of(const OrtTensorInfo* tensor) const {
    size_t rank = 0;
    api_.call<GetDimensionsCount>(tensor, &rank);
    std::vector<int64_t> shape(rank);
    api_.call<GetDimensions>(tensor, shape.data(), rank);
    return shape;
  }

  Feed copied(OrtValue* const* values) const {
    Feed out;
    for (size_t i = 0; i < output_names_.size(); ++i) {
      int kind = 0;
      if (!values[i]) throw Declined("output '" + output_names_[i] + "' was not given");
      api_.call<GetValueType>(values[i], &kind);
      if (kind != ORT_TENSOR) throw Declined("output '" + output_names_[i] + "' is no tensor: use the Python target");
      Held<OrtTensorInfo, ReleaseTensorTypeAndShapeInfo> tensor(api_);
      api_.call<GetTensorTypeAndShape>(values[i], tensor.out());
      Array array{output_names_[i], type_of(tensor.get()), shape_of(tensor.get()), {}};
      size_t bytes = bytes_of_type(array.onnx_type);
      if (!bytes)
        throw Declined("output '" + array.name + "' is of ONNX type " + std::to_string(array.onnx_type) +
                       ", which has no bytes of its own: use the Python target");
      for (const auto dim : array.shape) bytes *= static_cast<size_t>(dim);
      void* data = nullptr;
      api_.call<GetTensorMutableData>(values[i], &data);
      array.bytes.assign(static_cast<const char*>(data), bytes);
      out.push_back(std::move(array));
    }
    return out;
  }

  Api api_;
  Held<OrtEnv, ReleaseEnv> env_;
  Held<OrtMemoryInfo, ReleaseMemoryInfo> memory_;
  Held<OrtSession, ReleaseSession> session_;
  OrtAllocator* allocator_ = nullptr;  // the library's own, never released
  std::vector<std::string> input_names_, output_names_;
  std::vector<const char*> output_pointers_;
  std::vector<SetValues> sets_;
  std::vector<Binding> bindings_;
  std::vector<OrtValue*> outputs_;
  size_t last_ = 0;
  decltype(Run::of(nullptr)) run_ = api_.entry<Run>();
  decltype(RunWithBinding::of(nullptr)) run_bound_ = api_.entry<RunWithBinding>();
  decltype(ReleaseValue::of(nullptr)) release_value_ = api_.entry<ReleaseValue>();
};

}  // namespace

std::unique_ptr<Engine> open_ort(const Settings& settings) { return std::make_unique<OrtEngine>(settings); }

}  // namespace native
