"""An engine's reason stands first, whatever sources it passed through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.schema.engine_message import LONGEST, lead_with_reason

SOURCES = "/onnxruntime/onnxruntime/core/providers/openvino"
NETWORK = (
    "[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: "
    f"{SOURCES}/backends/basic_backend.cc:136 onnxruntime::openvino_ep::BasicBackend::BasicBackend("
    "std::unique_ptr<onnx::ModelProto>&, onnxruntime::openvino_ep::ptr_stream_t&) "
    f"{SOURCES}/ov_interface.cc:28 auto onnxruntime::openvino_ep::OvExceptionBoundary(Func&&, "
    "std::format_string<Args ...>&&, Args&& ...) [with bool typed = false; Func = OVCore::ReadModel("
    "std::string&&, const std::string&)::<lambda()>; Args = {}] [OpenVINO-EP] Exception while Reading "
    "network: Exception from src/frontends/onnx/frontend/src/core/graph_cache.cpp:27:\n"
    "x node not found in graph cache\n\n\n"
)
OPTION = (
    "/onnxruntime/onnxruntime/python/onnxruntime_pybind_state.cc:1053 "
    "std::shared_ptr<onnxruntime::IExecutionProviderFactory> onnxruntime::python::"
    "CreateExecutionProviderFactoryInstance(const onnxruntime::SessionOptions&, const std::string&) "
    "Invalid OpenVINO EP option: nonsense"
)
CUDA = (
    "[ONNXRuntimeError] : 1 : FAIL : /onnxruntime/core/providers/cuda/cuda_call.cc:129 "
    "std::conditional_t<THRW, void, onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const "
    "char*, int) [with ERRTYPE = cudaError; bool THRW = true] CUDA failure 35: driver is too old ; GPU=0"
)
RUNNING = (  # OpenVINO's EP, as it runs a node
    "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running OpenVINO-EP-subgraph_1 "
    f"node. Name:'s_0' Status Message: {SOURCES}/ov_interface.cc:28 auto onnxruntime::openvino_ep::"
    "OvExceptionBoundary(Func&&, std::format_string<Args ...>&&, Args&& ...) [with bool typed = false; "
    "Func = OVInferRequest::Infer()::<lambda()>; Args = {}] [OpenVINO-EP] In Error Couldn't start "
    "Inference:"
)
LOG = (
    "2026-11-26 14:06:50.538426160 [E:onnxruntime:, inference_session.cc:2579 operator()] Exception "
    f"during initialization: {SOURCES}/a.cc:9 onnxruntime::F::f() const it is not there"
)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (NETWORK, "x node not found in graph cache (Exception during initialization: [OpenVINO-EP] "
                  "Exception while Reading network)"),
        (OPTION, "Invalid OpenVINO EP option: nonsense"),
        (CUDA, "CUDA failure 35: driver is too old ; GPU=0"),
        (LOG, "it is not there (Exception during initialization)"),
        ("[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running MatMul node. "
         "Name:'mm' Status Message: matmul_helper.h:59 Compute MatMul dimension mismatch",
         "MatMul dimension mismatch (Non-zero status code returned while running MatMul node. Name:'mm')"),
        ("onnxruntime.capi.onnxruntime_pybind11_state.Fail: [ONNXRuntimeError] : 1 : FAIL : Failed to get "
         "symbol CreateEpFactories", "Failed to get symbol CreateEpFactories"),
        ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Non-zero status code returned while running Gather "
         "node. Name:'' Status Message: indices element out of data bounds, idx=77 must be within [-2,1]",
         "indices element out of data bounds, idx=77 must be within [-2,1] (Non-zero status code returned "
         "while running Gather node. Name:'')"),
        (f"{RUNNING} Exception from src/inference/src/cpp/infer_request.cpp:224:\n"
         "Exception from src/plugins/intel_cpu/src/node.cpp:792:\n[CPU] MatMul node with name 'z' Check "
         "'k_lhs == k_rhs' failed at src/plugins/intel_cpu/src/matmul.cpp:45:\nshapes are incompatible",
         "shapes are incompatible (Non-zero status code returned while running OpenVINO-EP-subgraph_1 node. "
         "Name:'s_0': [OpenVINO-EP] In Error Couldn't start Inference: [CPU] MatMul node with name 'z' "
         "Check 'k_lhs == k_rhs' failed)"),
        ("[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is an invalid model. In Node, (\"\", Foo, \"\", -1) "
         ": (\"x\": tensor(float),) -> (\"z\": tensor(float),) , Error No Op registered for Foo with "
         "domain_version of 17",
         "No Op registered for Foo with domain_version of 17 (This is an invalid model. In Node, (\"\", Foo, "
         "\"\", -1) : (\"x\": tensor(float),) -> (\"z\": tensor(float),))"),
        ("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: std::bad_alloc",
         "std::bad_alloc (Exception during initialization)"),
        ("[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running n node. Name:'n_0' "
         "Status Message: Compute: kernel execution failed: MatMul: inner dims disagree (8 vs 2)",
         "Compute: kernel execution failed: MatMul: inner dims disagree (8 vs 2) (Non-zero status code "
         "returned while running n node. Name:'n_0')"),
        ("[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for MatMul(13) "
         "node with name 'mm'", "Could not find an implementation for MatMul(13) node with name 'mm'"),
        ("no file a.cpp: give it\nanother", "no file a.cpp: give it another"),
        ("it failed at pool.cc:12", "it failed"),
        ("pool.cc:12", "pool.cc:12"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_reason_stands_first_and_whole(message: str, told: str) -> None:
    assert lead_with_reason(message) == told


@given(st.text(max_size=200))
def test_any_text_becomes_one_line(text: str) -> None:
    told = lead_with_reason(text)
    assert "\n" not in told
    assert bool(told) == bool(text.split())


def test_a_message_without_end_is_looked_at_no_further_than_it_is_read() -> None:
    assert len(lead_with_reason("a.cc:1 f::g(" * 100_000)) <= LONGEST
