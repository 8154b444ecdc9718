// The entries of ONNX Runtime's C API that are used here, by their place in its table of functions.
//
// No package on PyPI carries onnxruntime_c_api.h. The table is append-only: an entry's place never changes, which
// onnxruntime/core/session/onnxruntime_c_api.cc asserts for each version; the places are those of struct OrtApi in
// include/onnxruntime/core/session/onnxruntime_c_api.h. All are there since API 11 (ONNX Runtime 1.11), which is asked for.
#pragma once
#include <cstddef>
#include <cstdint>

namespace native {

struct OrtEnv;
struct OrtStatus;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtValue;
struct OrtMemoryInfo;
struct OrtAllocator;
struct OrtTypeInfo;
struct OrtTensorInfo;
struct OrtIoBinding;

struct OrtApiBase {
  const void* const* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

constexpr uint32_t ORT_API = 11;
constexpr int ORT_TENSOR = 1, ORT_LOG_WARNING = 2, ORT_ARENA_ALLOCATOR = 1, ORT_MEMORY_DEFAULT = 0, ORT_PARALLEL = 1;

// A place in the table, and the function that stands there.
template <size_t Place, typename Function>
struct Entry {
  static Function* of(const void* const* table) {
    return reinterpret_cast<Function*>(const_cast<void*>(table[Place]));
  }
};

using Status = OrtStatus*;
using GetErrorMessage = Entry<2, const char*(const OrtStatus*)>;
using CreateEnv = Entry<3, Status(int severity, const char* id, OrtEnv**)>;
using CreateSession = Entry<7, Status(const OrtEnv*, const char* path, const OrtSessionOptions*, OrtSession**)>;
using Run = Entry<9, Status(OrtSession*, const OrtRunOptions*, const char* const* input_names,
                            const OrtValue* const* inputs, size_t, const char* const* output_names, size_t, OrtValue**)>;
using CreateSessionOptions = Entry<10, Status(OrtSessionOptions**)>;
using SetSessionExecutionMode = Entry<13, Status(OrtSessionOptions*, int)>;
using DisableCpuMemArena = Entry<19, Status(OrtSessionOptions*)>;
using SetSessionGraphOptimizationLevel = Entry<23, Status(OrtSessionOptions*, int)>;
using SetIntraOpNumThreads = Entry<24, Status(OrtSessionOptions*, int)>;
using SetInterOpNumThreads = Entry<25, Status(OrtSessionOptions*, int)>;
using RegisterCustomOpsLibrary = Entry<29, Status(OrtSessionOptions*, const char* path, void** handle)>;
using SessionGetInputCount = Entry<30, Status(const OrtSession*, size_t*)>;
using SessionGetOutputCount = Entry<31, Status(const OrtSession*, size_t*)>;
using SessionGetInputTypeInfo = Entry<33, Status(const OrtSession*, size_t, OrtTypeInfo**)>;
using SessionGetInputName = Entry<36, Status(const OrtSession*, size_t, OrtAllocator*, char**)>;
using SessionGetOutputName = Entry<37, Status(const OrtSession*, size_t, OrtAllocator*, char**)>;
using CreateTensorWithDataAsOrtValue = Entry<49, Status(const OrtMemoryInfo*, void*, size_t bytes, const int64_t* shape,
                                                        size_t rank, int type, OrtValue**)>;
using GetTensorMutableData = Entry<51, Status(OrtValue*, void**)>;
using CastTypeInfoToTensorInfo = Entry<55, Status(const OrtTypeInfo*, const OrtTensorInfo**)>;
using GetTensorElementType = Entry<60, Status(const OrtTensorInfo*, int*)>;
using GetDimensionsCount = Entry<61, Status(const OrtTensorInfo*, size_t*)>;
using GetDimensions = Entry<62, Status(const OrtTensorInfo*, int64_t*, size_t)>;
using GetTensorTypeAndShape = Entry<65, Status(const OrtValue*, OrtTensorInfo**)>;
using GetValueType = Entry<67, Status(const OrtValue*, int*)>;
using CreateCpuMemoryInfo = Entry<69, Status(int allocator, int memory, OrtMemoryInfo**)>;
using AllocatorFree = Entry<76, Status(OrtAllocator*, void*)>;
using GetAllocatorWithDefaultOptions = Entry<78, Status(OrtAllocator**)>;
using ReleaseEnv = Entry<92, void(OrtEnv*)>;
using ReleaseStatus = Entry<93, void(OrtStatus*)>;
using ReleaseMemoryInfo = Entry<94, void(OrtMemoryInfo*)>;
using ReleaseSession = Entry<95, void(OrtSession*)>;
using ReleaseValue = Entry<96, void(OrtValue*)>;
using ReleaseTypeInfo = Entry<98, void(OrtTypeInfo*)>;
using ReleaseTensorTypeAndShapeInfo = Entry<99, void(OrtTensorInfo*)>;
using ReleaseSessionOptions = Entry<100, void(OrtSessionOptions*)>;
using AddSessionConfigEntry = Entry<130, Status(OrtSessionOptions*, const char* key, const char* value)>;
using RunWithBinding = Entry<133, Status(OrtSession*, const OrtRunOptions*, const OrtIoBinding*)>;
using CreateIoBinding = Entry<134, Status(OrtSession*, OrtIoBinding**)>;
using ReleaseIoBinding = Entry<135, void(OrtIoBinding*)>;
using BindInput = Entry<136, Status(OrtIoBinding*, const char* name, const OrtValue*)>;
using BindOutputToDevice = Entry<138, Status(OrtIoBinding*, const char* name, const OrtMemoryInfo*)>;
using GetBoundOutputValues = Entry<140, Status(const OrtIoBinding*, OrtAllocator*, OrtValue***, size_t*)>;

}  // namespace native
