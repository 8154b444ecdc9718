"""What one trtexec can do, by its own help text, and the commands by which 8, 10 and 11 do the same."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perf.backends import Unsupported
from perf.schema import shape_profiles
from perf.schema.cell import Precision
from perf.schema.shape_profiles import Shape, ShapeProfile

_BANNER = re.compile(r"\[TensorRT v([0-9.]+)\]")
_FLAG = re.compile(r"^\s{0,6}(--[A-Za-z][\w-]*)(.*)$", re.MULTILINE)
# What the TensorRT EP's options are called by trtexec; the rest of the EP's are about the EP itself
_VALUES = {
    "trt_builder_optimization_level": "--builderOptimizationLevel",
    "trt_auxiliary_streams": "--maxAuxStreams",
}
_OWN = "trtexec."  # trtexec.sparsity=enable is given to it as --sparsity=enable
_EP_ONLY = re.compile(
    r"trt_(engine|timing|dump|context|weight|onnx|profile|cuda_graph|fp16|bf16|max_partition|min_subgraph"
    r"|force|detailed|ep_|op_types|layer_norm|int8|dla|build_heuristics|extra_plugin|tactic|load_user|preview)"
    r"|device_id|has_user_compute_stream|user_compute_stream"
)


@dataclass(frozen=True)
class Program:
    """A trtexec by path: its version, and the flags its help names that do something."""

    path: str
    version: tuple[int, ...]
    flags: frozenset[str]

    @property
    def weakly_typed(self) -> bool:
        """Whether half precision is a builder flag here (TensorRT 10 and before), or a typed model."""
        return "--fp16" in self.flags

    @property
    def version_text(self) -> str:
        """As people write it: 10.6.0."""
        return ".".join(map(str, self.version))

    def flag(self, name: str, value: str = "") -> tuple[str, ...]:
        """A flag as it is written, where this trtexec has it."""
        return (f"{name}={value}" if value else name,) if name in self.flags else ()


@dataclass(frozen=True)
class EngineBuild:
    """An engine to be built."""

    model: str
    engine: str
    timing_cache: str
    precision: Precision
    tf32: bool
    device: int
    profiles: tuple[ShapeProfile, ...]
    options: Mapping[str, str]


@dataclass(frozen=True)
class EngineRun:
    """An engine to be run on given inputs: what is timed, what is written."""

    engine: str
    device: int
    shapes: Mapping[str, Shape]  # of the dynamic inputs
    inputs: Mapping[str, str]  # name -> file of raw values
    transfers: bool  # host to host; False: device compute alone
    iterations: int = 1
    duration_s: int = 0
    warm_up_ms: int = 0
    cuda_graph: bool = False
    times: str = ""
    outputs: str = ""
    layers: str = ""
    layer_times: str = ""


def parse_help(path: str, text: str) -> Program:
    """Read what `--help` printed; raises Unsupported where that is no trtexec's help."""
    banner = _BANNER.search(text)
    flags = frozenset(m.group(1) for m in _FLAG.finditer(text) if _is_functional(*m.groups()))
    if "--loadEngine" not in flags or "--exportTimes" not in flags:
        raise Unsupported(
            f"{path}: its --help is not that of a trtexec with --exportTimes (8 or later)"
        )
    return Program(path, parse_version(banner.group(1)) if banner else (), flags)


def _is_functional(flag: str, words: str) -> bool:
    """Deprecated flags do nothing in 11 and have successors before it; --fp16 works while it is named."""
    words = words.lower()
    return "no-op" not in words and ("[deprecated]" not in words or flag == "--fp16")


def parse_version(text: str) -> tuple[int, ...]:
    """8601 is 8.6.1, 100600 is 10.6.0 (TensorRT packs them in one number); 11.1.0.106 is what it says."""
    if "." in text:
        return tuple(int(p) for p in text.split(".") if p)
    n = int(text)
    if n < 10_000:  # major·1000 + minor·100 + patch, up to 8.x
        return (n // 1000, n // 100 % 10, n % 100)
    return (n // 10_000, n // 100 % 100, n % 100)


def build_command(program: Program, b: EngineBuild) -> tuple[str, ...]:
    """The command that builds and saves an engine and does no inference; raises Unsupported."""
    half = b.precision is Precision.FP16 and program.weakly_typed
    return (
        program.path,
        f"--onnx={b.model}",
        f"--saveEngine={b.engine}",
        f"--device={b.device}",
        *_shape_flags(b.profiles),
        *(program.flag("--skipInference") or program.flag("--buildOnly")),
        *(["--fp16"] if half else []),
        *(() if b.tf32 else program.flag("--noTF32")),
        *(program.flag("--timingCacheFile", b.timing_cache) if b.timing_cache else ()),
        *program.flag("--profilingVerbosity", "detailed"),  # a layer's precision is read from it
        *option_flags(program, b.options),
    )


def run_command(program: Program, r: EngineRun) -> tuple[str, ...]:
    """The command that runs an engine: one request at a time, one stream; raises Unsupported.

    The defaults differ: 11 leaves transfers out and CUDA graphs in, 8 and 10 the reverse, and all of them
    queue one request behind another unless transfers are serialised (--exposeDMA). Whatever the version, what
    runs here is one request after another, as a session's run() does it, spinning at its end as CUDA does.
    """
    shapes = ",".join(
        f"{_name(n)}:{'x'.join(map(str, s)) or 'scalar'}" for n, s in r.shapes.items()
    )
    inputs = ",".join(f"{_name(n)}:{file}" for n, file in r.inputs.items())
    command = [
        program.path,
        f"--loadEngine={r.engine}",
        f"--device={r.device}",
        f"--iterations={r.iterations}",
        f"--duration={r.duration_s}",
        f"--warmUp={r.warm_up_ms}",
        *([f"--shapes={shapes}"] if shapes else []),
        *([f"--loadInputs={inputs}"] if inputs else []),
        *program.flag("--includeDataTransfers" if r.transfers else "--noDataTransfers"),
        *program.flag("--useCudaGraph" if r.cuda_graph else "--noCudaGraph"),
        *program.flag("--exposeDMA"),
        *program.flag("--useSpinWait"),
        *(program.flag("--infStreams", "1") or program.flag("--streams", "1")),
    ]
    if r.times:
        command.append(f"--exportTimes={r.times}")
    if r.outputs:
        command.append(f"--exportOutput={r.outputs}")
    if r.layers and "--exportLayerInfo" in program.flags:
        command += ["--profilingVerbosity=detailed", f"--exportLayerInfo={r.layers}"]
    if r.layer_times:
        command += ["--dumpProfile", f"--exportProfile={r.layer_times}"]
        command += program.flag("--separateProfileRun")
    return tuple(command)


def typing_regime(program: Program, precision: Precision) -> str:
    """By what layers get their precision, a flag or the model, in words of the record."""
    if program.weakly_typed:
        flag = " --fp16" if precision is Precision.FP16 else ""
        return f"TensorRT {program.version_text}, weakly typed{flag}"
    return f"TensorRT {program.version_text}, strongly typed model"


def option_flags(program: Program, options: Mapping[str, str]) -> tuple[str, ...]:
    """trtexec's spelling of the TensorRT EP's builder options; raises Unsupported for what it cannot take."""
    out: list[str] = []
    for key, value in options.items():
        flag = _VALUES.get(key, f"--{key.removeprefix(_OWN)}" if key.startswith(_OWN) else "")
        if key == "trt_max_workspace_size":
            if int(value) > 0:
                out.append(f"--memPoolSize=workspace:{max(1, int(value) // 2**20)}")
        elif key == "trt_sparsity_enable":
            out += ["--sparsity=enable"] if is_true(value) else []
        elif flag:
            if flag not in program.flags:
                raise Unsupported(f"{key}: trtexec {program.version_text} has no {flag}")
            if key not in _VALUES or int(value) >= 0:  # -1: TensorRT chooses
                out += program.flag(flag, value)
        elif key not in ("build", "gpu_only") and not _EP_ONLY.match(key):
            raise Unsupported(
                f"option {key!r} is not known for trtexec; give an option of the TensorRT EP, or one of "
                "trtexec's own flags as trtexec.flag=value"
            )
    return tuple(out)


def is_true(value: str) -> bool:
    """As ORT reads a boolean option."""
    return value.lower() in ("1", "true")


def _shape_flags(shapes: Sequence[ShapeProfile]) -> tuple[str, ...]:
    try:
        return shape_profiles.trtexec_flags(shapes)
    except ValueError as e:
        raise Unsupported(str(e)) from e


def _name(name: str) -> str:
    """A tensor's name in a list: trtexec cuts at ',', drops single quotes, cuts the value at the last ':'."""
    if "," in name or "'" in name:
        raise Unsupported(f"input {name!r}: trtexec cannot take ',' or a single quote in a name")
    return name
