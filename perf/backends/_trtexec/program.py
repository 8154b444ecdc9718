"""What one trtexec can do, by its own help text, and the commands by which 8, 10 and 11 do the same."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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

    def find_flag(self, *flags: str) -> str:
        """The first of these flags that this trtexec has, "" for none."""
        return next((f for f in flags if f in self.flags), "")


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
    line = [
        program.path,
        f"--onnx={b.model}",
        f"--saveEngine={b.engine}",
        f"--device={b.device}",
        *_shape_flags(b.profiles),
    ]
    if skip := program.find_flag("--skipInference", "--buildOnly"):
        line.append(skip)
    if b.precision is Precision.FP16 and program.weakly_typed:
        line.append("--fp16")
    if not b.tf32 and program.find_flag("--noTF32"):
        line.append("--noTF32")
    if b.timing_cache and program.find_flag("--timingCacheFile"):
        line.append(f"--timingCacheFile={b.timing_cache}")
    if program.find_flag("--profilingVerbosity"):
        line.append("--profilingVerbosity=detailed")  # what a layer's precision is read from
    return (*line, *option_flags(program, b.options))


def run_command(program: Program, r: EngineRun) -> tuple[str, ...]:
    """The command that runs an engine: one request at a time, one stream; raises Unsupported.

    The defaults differ: 11 leaves transfers out and CUDA graphs in, 8 and 10 the reverse, and all of them
    queue one request behind another unless transfers are serialised (--exposeDMA). Whatever the version, what
    runs here is one request after another, as a session's run() does it, spinning at its end as CUDA does.
    """
    line = [
        program.path,
        f"--loadEngine={r.engine}",
        f"--device={r.device}",
        f"--iterations={r.iterations}",
        f"--duration={r.duration_s}",
        f"--warmUp={r.warm_up_ms}",
    ]
    if r.shapes:
        line.append("--shapes=" + ",".join(f"{_name(n)}:{_dims(s)}" for n, s in r.shapes.items()))
    if r.inputs:
        line.append(
            "--loadInputs=" + ",".join(f"{_name(n)}:{_path(p)}" for n, p in r.inputs.items())
        )
    if r.transfers and program.find_flag("--includeDataTransfers"):
        line.append("--includeDataTransfers")
    if not r.transfers and program.find_flag("--noDataTransfers"):
        line.append("--noDataTransfers")
    if not r.cuda_graph and program.find_flag("--noCudaGraph"):
        line.append("--noCudaGraph")
    if r.cuda_graph and program.find_flag("--useCudaGraph"):
        line.append("--useCudaGraph")
    line += [f for f in ("--exposeDMA", "--useSpinWait") if program.find_flag(f)]
    if streams := program.find_flag("--infStreams", "--streams"):
        line.append(f"{streams}=1")
    return (*line, *_report_flags(program, r))


def typing_regime(program: Program, precision: Precision) -> str:
    """By what layers get their precision, a flag or the model, in words of the record."""
    if program.weakly_typed:
        flag = " --fp16" if precision is Precision.FP16 else ""
        return f"TensorRT {program.version_text}, weakly typed{flag}"
    return f"TensorRT {program.version_text}, strongly typed model"


def option_flags(program: Program, options: Mapping[str, str]) -> tuple[str, ...]:
    """trtexec's spelling of the TensorRT EP's builder options; raises Unsupported for what it cannot take."""
    out = []
    for key, value in options.items():
        if key == "trt_max_workspace_size":
            if int(value) > 0:
                out.append(f"--memPoolSize=workspace:{max(1, int(value) // 2**20)}")
        elif key == "trt_sparsity_enable":
            out += ["--sparsity=enable"] if is_true(value) else []
        elif key in _VALUES:
            if not program.find_flag(_VALUES[key]):
                raise Unsupported(f"{key}: trtexec {program.version_text} has no {_VALUES[key]}")
            out += [f"{_VALUES[key]}={value}"] if int(value) >= 0 else []  # -1: TensorRT chooses
        elif key.startswith(_OWN):
            out.append(_own_flag(program, "--" + key.removeprefix(_OWN), value))
        elif key not in ("build", "gpu_only") and not _EP_ONLY.match(key):
            raise Unsupported(
                f"option {key!r} is not known for trtexec; give an option of the TensorRT EP, or one of "
                "trtexec's own flags as trtexec.flag=value"
            )
    return tuple(out)


def is_true(value: str) -> bool:
    """As ORT reads a boolean option."""
    return value.lower() in ("1", "true")


def _own_flag(program: Program, flag: str, value: str) -> str:
    if not program.find_flag(flag):
        raise Unsupported(f"trtexec {program.version_text} has no {flag}")
    return f"{flag}={value}" if value else flag


def _report_flags(program: Program, r: EngineRun) -> list[str]:
    line = []
    if r.times:
        line.append(f"--exportTimes={r.times}")
    if r.outputs:
        line.append(f"--exportOutput={r.outputs}")
    if r.layers and program.find_flag("--exportLayerInfo"):
        line += ["--profilingVerbosity=detailed", f"--exportLayerInfo={r.layers}"]
    if r.layer_times:
        line += ["--dumpProfile", f"--exportProfile={r.layer_times}"]
        if separate := program.find_flag("--separateProfileRun"):
            line.append(separate)
    return line


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


def _path(path: str) -> str:
    """A file's path in a list: it may hold neither of the separators."""
    if "," in path or ":" in path or "'" in path:
        raise Unsupported(f"{path}: trtexec cannot take ',', ':' or a quote in a path; move it")
    return path


def _dims(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


_DEPTH = 6  # below the workspace: TensorRT-10.x/targets/x86_64-linux-gnu/bin is four
_SKIPPED = frozenset(("result", "models", "node_modules", "site-packages", "proc", "sys", "dev"))
_PACKAGED = Path("/usr/src/tensorrt/bin/trtexec")  # libnvinfer-bin, and NVIDIA's containers


class NoSuchProgramError(Exception):
    """The trtexec that was named cannot be run; one line that says which and why."""


def find_trtexec(given: str, workspace: str, environ: Mapping[str, str]) -> str:
    """The absolute path of a trtexec, "" where there is none; raises NoSuchProgramError for a bad `given`."""
    if given:
        named = shutil.which(given, path=environ.get("PATH"))
        if named is None:
            raise NoSuchProgramError(f"--trtexec {given}: no such executable file")
        return str(Path(named).absolute())
    places = _below(Path(workspace)) if workspace else iter(())
    home = environ.get("TENSORRT_HOME", "")
    for path in (*places, *(_below(Path(home)) if home else ()), *_on_path(environ), _PACKAGED):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path.absolute())
    return ""


def library_path(program: str, environ: Mapping[str, str]) -> str:
    """LD_LIBRARY_PATH with the lib folder beside a tarball's bin in front, where there is one."""
    beside = Path(program).resolve().parent.parent / "lib"
    given = environ.get("LD_LIBRARY_PATH", "")
    if not any(beside.glob("libnvinfer.so*")):
        return given
    return os.pathsep.join(p for p in (str(beside), given) if p)


def _below(root: Path) -> Iterator[Path]:
    """Every bin/trtexec below a folder, nearest first; links are not followed, results not searched."""
    level = [root]
    for _ in range(_DEPTH):
        deeper: list[Path] = []
        for folder in level:
            if folder.name == "bin":
                yield folder / "trtexec"
            deeper += _folders(folder)
        level = deeper


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                Path(e.path)
                for e in entries
                if e.is_dir(follow_symlinks=False)
                and not e.name.startswith(".")
                and e.name not in _SKIPPED
            )
    except OSError:  # unreadable, or gone: searched no further
        return []


def _on_path(environ: Mapping[str, str]) -> tuple[Path, ...]:
    found = shutil.which("trtexec", path=environ.get("PATH"))
    return (Path(found),) if found else ()
