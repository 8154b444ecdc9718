"""An ONNX model to a serialized engine: parser, profiles and builder of a TensorRT package that is given."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perf.backends import DeviceMemoryExhausted, Unsupported
from perf.request.programs import command_of
from perf.schema.cell import Precision
from perf.schema.shape_profiles import ShapeProfile

_FLAGS = {Precision.FP16: "FP16", Precision.INT8: "INT8"}  # of TensorRT 10 and before
_OUT_OF_MEMORY = re.compile(r"out of memory|OutOfMemory|cudaErrorMemoryAllocation", re.I)


class BuildFailedError(Exception):
    """The parser or the builder refused the model; the message is what they said, in one line."""


@dataclass(frozen=True)
class BuildRequest:
    """What an engine is built from, and how."""

    model: str
    precision: Precision
    tf32: bool
    profiles: Sequence[ShapeProfile] = ()
    workspace_bytes: int = 0  # 0: TensorRT's own limit, all of the device's memory
    optimization_level: int = -1  # -1: TensorRT's own
    timing_cache: bytes = b""
    # built ahead of time for these, such as SM120: no GPU needed
    compute_capabilities: Sequence[str] = ()
    calibration: bytes = b""  # int8's scales, as an earlier calibration wrote them


class TrtLog:
    """A TensorRT logger that prints warnings and errors as they come, and keeps the errors."""

    def __init__(self, trt: Any) -> None:
        self.errors: list[str] = []
        keep, severity = self.errors.append, trt.ILogger.Severity

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, level: Any, message: str) -> None:
                if level in (severity.INTERNAL_ERROR, severity.ERROR):
                    keep(message)
                if level not in (severity.INFO, severity.VERBOSE):
                    print(f"[{level.name}] {message}", flush=True)

        self.logger = Logger()

    def errors_text(self) -> str:
        """The errors so far, each once, in one line."""
        return " | ".join(dict.fromkeys(" ".join(e.split()) for e in self.errors))[:1500]


def weakly_typed(trt: Any) -> bool:
    """Whether this package has half precision as a builder flag: TensorRT 10 and before, and no RTX."""
    return hasattr(trt.BuilderFlag, "FP16")


def typing_regime(trt: Any, precision: Precision) -> str:
    """By what layers get their precision, the builder's flag or the model, in words of the record."""
    name = trt.__name__.removesuffix("_bindings")
    if weakly_typed(trt):
        reduced = precision in _FLAGS
        flag = f", flag {_FLAGS[precision]}" if reduced else ""
        return f"{name} {trt.__version__}, weakly typed{flag}"
    return f"{name} {trt.__version__}, strongly typed model"


def build(trt: Any, request: BuildRequest, log: TrtLog) -> tuple[bytes, bytes]:
    """The serialized engine, and the timings that chose its tactics.

    Raises BuildFailedError, Unsupported, or DeviceMemoryExhausted.
    """
    builder = trt.Builder(log.logger)
    network = builder.create_network(_network_flags(trt))
    _parse(trt, network, request.model, log)
    config = builder.create_builder_config()
    if profile := _profile(builder, network, request.profiles):
        config.add_optimization_profile(profile)
    _configure(trt, config, request)
    cache = None
    if hasattr(config, "create_timing_cache"):
        cache = config.create_timing_cache(request.timing_cache)
        if cache is not None:
            config.set_timing_cache(cache, False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = log.errors_text() or "the builder returned no engine and logged no error"
        if _OUT_OF_MEMORY.search(reason):
            raise DeviceMemoryExhausted(reason)
        raise BuildFailedError(reason)
    return bytes(plan), bytes(cache.serialize()) if cache is not None else b""


def _network_flags(trt: Any) -> int:
    """Explicit batches, which TensorRT 10 has no other way than, and no flag for."""
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return 0 if explicit is None else 1 << int(explicit)


def _parse(trt: Any, network: Any, model: str, log: TrtLog) -> None:
    parser = trt.OnnxParser(network, log.logger)
    if parser.parse_from_file(model):
        return
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    reason = (
        "; ".join(_parser_error(e) for e in errors) or log.errors_text() or "it gave no reason"
    )
    raise BuildFailedError(f"the ONNX parser refused the model: {reason}"[:1500])


def _parser_error(error: Any) -> str:
    node, operator = error.node_name(), error.node_operator()
    where = f" (node {node!r}, {operator})" if node or operator else ""
    return " ".join(str(error.desc()).split()) + where


def _profile(builder: Any, network: Any, profiles: Sequence[ShapeProfile]) -> Any:
    """One profile with the shapes of every dynamic input; None where all shapes are fixed.

    Raises Unsupported for an input without one, and for inputs whose values are shapes.
    """
    by_name = {p.name: p for p in profiles}
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    for tensor in inputs:
        if tensor.is_shape_tensor:
            raise Unsupported(f"input {tensor.name!r} is a shape tensor: its profile is of values")
    dynamic = [t for t in inputs if -1 in tuple(t.shape)]
    if not dynamic:
        return None
    profile = builder.create_optimization_profile()
    for tensor in dynamic:
        if tensor.name not in by_name:
            raise Unsupported(
                f"input {tensor.name!r} has no profile; give --trt_profile {tensor.name}=MIN:OPT:MAX"
            )
        p = by_name[tensor.name]
        profile.set_shape(tensor.name, p.min, p.opt, p.max)
    return profile


def _cached_scales(trt: Any, cache: bytes) -> Any:
    """A calibrator without data, its scales those of a cache; raises Unsupported from TensorRT 11 on."""
    if not hasattr(trt, "IInt8EntropyCalibrator2"):
        raise Unsupported(
            f"TensorRT {trt.__version__} has no calibrators, which left with version 11: quantise the model "
            f"({command_of('perf.cli.convert_model')} --precision int8), and build that without --precision"
        )

    class Scales(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: Sequence[str]) -> None:
            return None

        def read_calibration_cache(self) -> bytes:
            return cache

        def write_calibration_cache(self, cache: bytes) -> None:
            return None

    return Scales()


def _configure(trt: Any, config: Any, request: BuildRequest) -> None:
    if request.workspace_bytes:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_bytes)
    if request.optimization_level >= 0:
        config.builder_optimization_level = request.optimization_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if request.precision in _FLAGS and weakly_typed(trt):
        config.set_flag(getattr(trt.BuilderFlag, _FLAGS[request.precision]))
    if request.precision is Precision.INT8:
        config.int8_calibrator = _cached_scales(trt, request.calibration)
    if request.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if request.compute_capabilities:
        config.num_compute_capabilities = len(request.compute_capabilities)
        for i, name in enumerate(request.compute_capabilities):
            config.set_compute_capability(getattr(trt.ComputeCapability, name), i)
