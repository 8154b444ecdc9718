"""Fakes of NVIDIA's tensorrt and cuda-bindings (libraries we do not own): engines that compute on the CPU EP.

"Device" memory is host memory, a stream does everything at once, and events tick by what was enqueued.
"""

import ctypes
import enum
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort

TYPES = {
    "float": ("FLOAT", "f4"),
    "float16": ("HALF", "f2"),
    "int64": ("INT64", "i8"),
    "bool": ("BOOL", "?"),
}


CODES = {
    "Success": 0,
    "ErrorMemoryAllocation": 2,
    "ErrorInsufficientDriver": 35,
    "ErrorIllegalAddress": 700,
}
_make_enum: Any = enum.IntEnum
Error = _make_enum("Error", {f"cuda{name}": code for name, code in CODES.items()})


@dataclass
class FakeCudart:
    """cuda.bindings.runtime; `fails` names functions and what they return."""

    fails: dict[str, Any] = field(default_factory=dict)
    devices: int = 1
    real_clock: bool = False  # events tick by the machine's time, not by what was enqueued
    held: dict[int, Any] = field(default_factory=dict)
    now_ms: float = 0.0
    events: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cudaError_t = Error
        self.cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if not name.startswith("cuda"):
            raise AttributeError(name)
        return lambda *args: self._call(name, *args)

    def _call(self, name: str, *args: Any) -> tuple[Any, ...]:
        if name in self.fails:
            return self.fails[name], 0
        match name, args:
            case "cudaGetDeviceCount", _:
                return Error.cudaSuccess, self.devices
            case ("cudaMalloc", (size,)) | ("cudaHostAlloc", (size, _)):
                block = ctypes.create_string_buffer(size)
                self.held[ctypes.addressof(block)] = block
                return Error.cudaSuccess, ctypes.addressof(block)
            case (("cudaFree" | "cudaFreeHost"), (pointer,)):
                del self.held[pointer]
                return (Error.cudaSuccess,)
            case "cudaMemcpyAsync", (to, source, size, kind, _):
                ctypes.memmove(to, source, size)
                self.now_ms += 0.25 if kind == 1 else 0.125
                return (Error.cudaSuccess,)
            case "cudaEventCreate", _:
                self.events[len(self.events)] = -1.0
                return Error.cudaSuccess, len(self.events) - 1
            case "cudaEventRecord", (event, _):
                self.events[event] = time.monotonic() * 1000 if self.real_clock else self.now_ms
                return (Error.cudaSuccess,)
            case "cudaEventElapsedTime", (first, second):
                return Error.cudaSuccess, self.events[second] - self.events[first]
            case "cudaStreamCreate", _:
                return Error.cudaSuccess, 7
            case _:
                return (Error.cudaSuccess,)


def _enum(name: str, members: dict[str, Any]) -> Any:
    kind: Any = enum.Enum
    return kind(name, members)


class FakeTensorRT:
    """The tensorrt module of TensorRT 10 (weakly typed) or 11; `refuses` makes a stage fail."""

    __name__ = "tensorrt"

    def __init__(self, cuda: FakeCudart, *, eleven: bool = False, refuses: str = "") -> None:
        self.cuda, self.refuses = cuda, refuses
        self.__version__ = "11.1.0" if eleven else "10.16.1"
        flags = {"TF32": 1} if eleven else {"TF32": 1, "FP16": 2, "INT8": 3}
        if not eleven:
            self.IInt8EntropyCalibrator2 = _Calibrator
        self.BuilderFlag = _enum("BuilderFlag", flags)
        self.NetworkDefinitionCreationFlag = _enum("Flag", {"STRONGLY_TYPED": 1})
        self.DataType = _enum("DataType", {v: v for v, _ in (*TYPES.values(), ("INT32", ""))})
        self.TensorIOMode = _enum("TensorIOMode", {"INPUT": 1, "OUTPUT": 2})
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.ProfilingVerbosity = SimpleNamespace(DETAILED="detailed")
        self.LayerInformationFormat = SimpleNamespace(JSON="json")
        self.ILogger, self.IProfiler = _Logger, _Profiler
        self.configs: list[_Config] = []

    def Builder(self, logger: Any) -> "_Builder":  # noqa: N802
        return _Builder(self, logger)

    def OnnxParser(self, network: "_Network", logger: Any) -> "_Parser":  # noqa: N802
        return _Parser(self, network, logger)

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        def deserialize(plan: bytes) -> "_Engine | None":
            if self.refuses == "deserialize":
                logger.log(_Logger.Severity.ERROR, "the plan was built by another version")
                return None
            return _Engine(self, json.loads(plan)["model"])

        return SimpleNamespace(deserialize_cuda_engine=deserialize)


class _Logger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4


class _Profiler:
    pass


def _session(model: str) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, ["CPUExecutionProvider"])


class _Network:
    model = ""

    @property
    def num_inputs(self) -> int:
        return len(_session(self.model).get_inputs())

    def get_input(self, i: int) -> Any:
        given = _session(self.model).get_inputs()[i]
        shape = [d if isinstance(d, int) else -1 for d in given.shape]
        return SimpleNamespace(name=given.name, shape=shape, is_shape_tensor=False)


@dataclass
class _Parser:
    trt: FakeTensorRT
    network: _Network
    logger: Any
    num_errors: int = 1

    def parse_from_file(self, path: str) -> bool:
        self.network.model = path
        return self.trt.refuses != "parse"

    def get_error(self, _i: int) -> Any:
        return SimpleNamespace(
            desc=lambda: "no importer\nfor GridSample",
            node_name=lambda: "sample",
            node_operator=lambda: "GridSample",
        )


class _Calibrator:
    """IInt8EntropyCalibrator2: a base whose methods the builder calls."""


@dataclass
class _Config:
    profiles: list[Any] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    limits: dict[str, int] = field(default_factory=dict)
    builder_optimization_level: int = 3
    profiling_verbosity: str = ""
    int8_calibrator: Any = None

    def __post_init__(self) -> None:
        self.add_optimization_profile = self.profiles.append
        self.set_memory_pool_limit = self.limits.__setitem__

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag.name)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag.name)

    def create_timing_cache(self, blob: bytes) -> Any:
        return SimpleNamespace(serialize=lambda: blob + b"timed;")

    def set_timing_cache(self, cache: Any, _ignore_mismatch: bool) -> bool:
        return cache is not None


@dataclass
class _Builder:
    trt: FakeTensorRT
    logger: Any

    def create_network(self, _flags: int) -> _Network:
        return _Network()

    def create_builder_config(self) -> _Config:
        self.trt.configs.append(_Config())
        return self.trt.configs[-1]

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(
            set_shape=lambda name, *bounds: shapes.update({name: bounds}), shapes=shapes
        )

    def build_serialized_network(self, network: _Network, _config: _Config) -> bytes | None:
        refusals = {"build": "no tactic fits", "memory": "Error Code 2: OutOfMemory"}
        if self.trt.refuses in refusals:
            self.logger.log(_Logger.Severity.ERROR, refusals[self.trt.refuses])
            return None
        return json.dumps({"model": network.model}).encode()


class _Engine:
    def __init__(self, trt: FakeTensorRT, model: str) -> None:
        self.trt, self.session = trt, _session(model)
        self.given = {v.name: v for v in self.session.get_inputs()}
        self.put = {v.name: v for v in self.session.get_outputs()}
        names: list[str] = [*self.given, *self.put]
        self.num_io_tensors, self.get_tensor_name = len(names), names.__getitem__

    def element_type(self, name: str) -> str:
        return str((self.given | self.put)[name].type[7:-1])

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        shape = (self.given | self.put)[name].shape
        return [d if isinstance(d, int) else -1 for d in shape]

    def get_tensor_mode(self, name: str) -> Any:
        return self.trt.TensorIOMode["INPUT" if name in self.given else "OUTPUT"]

    def get_tensor_dtype(self, name: str) -> Any:
        return self.trt.DataType[TYPES[self.element_type(name)][0]]

    def create_execution_context(self) -> "_Context":
        return _Context(self)

    def create_engine_inspector(self) -> Any:
        text = (Path(__file__).parent / "trtexec/recorded/layers_10.6_fp16.json").read_text()
        return SimpleNamespace(get_engine_information=lambda _format: text)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        addresses: dict[str, int] = {}
        self.addresses, self.set_tensor_address = addresses, addresses.__setitem__
        self.profiler: Any = None

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        self.shapes[name] = tuple(shape)
        return self.engine.trt.refuses != "shape"

    def get_tensor_shape(self, name: str) -> Sequence[int]:
        if self.engine.trt.refuses == "data_dependent":
            return (-1, 3)
        batch = self.shapes["x"][0]
        return [d if isinstance(d, int) else batch for d in self.engine.put[name].shape]

    def execute_async_v3(self, _stream: int) -> bool:
        if self.engine.trt.refuses == "run":
            return False
        feed = {n: self._array(n, self.shapes[n]) for n in self.engine.given}
        got = self.engine.session.run(None, feed)
        for name, value in zip(self.engine.put, got, strict=True):
            self._array(name, value.shape)[...] = value
        self.engine.trt.cuda.now_ms += 2.5
        if self.profiler is not None:
            self.profiler.report_layer_time("/conv1/Conv + /relu1/Relu", 2.0)
            self.profiler.report_layer_time("/softmax/Softmax", 0.5)
        return True

    def _array(self, name: str, shape: Sequence[int]) -> Any:
        kind = np.dtype(TYPES[self.engine.element_type(name)][1])
        raw: Any = (ctypes.c_byte * (math.prod(shape) * kind.itemsize)).from_address(
            self.addresses[name]
        )
        return np.frombuffer(raw, kind).reshape(shape)
