"""One question, a model on a target under a protocol, with all that can change its answer."""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from perf.schema import atomic_file, codec, model_form, strict_json
from perf.schema.model_form import Format, ModelForm
from perf.schema.untrusted_file import read_whole
from perf.schema.version import stamp, without_version

CELL_LIMIT = 64 << 20  # bytes

BUILD_OPTION = (
    "build"  # in options: which of several builds; it changes the engine's cache key alone
)


_PART = re.compile(r"(.+)(\[\d+\]|\{(?:counts|keys|values)\})", re.DOTALL)


class Precision(StrEnum):
    """The arithmetic a target is asked to run in."""

    FP32 = "fp32"
    TF32 = "tf32"  # fp32 whose products may be rounded to 11 bits
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    FP32_FP16 = "fp32+fp16"  # weights in fp32, and each operator in what its engine chooses
    FP32_BF16 = "fp32+bf16"
    FP32_BF16_FP16 = "fp32+bf16+fp16"


class Io(StrEnum):
    """Where inputs and outputs live between timed runs."""

    HOST = "host"  # session.run on host arrays: copies to and from a device are inside the time
    DEVICE = "device"  # bound to the device's memory, synchronised inside the time


class Comparison(StrEnum):
    """How outputs are held against the reference."""

    ELEMENTWISE = "elementwise"
    UNORDERED = "unordered"  # rows of the outputs may come in any order (detectors)


@dataclass(frozen=True)
class Target:
    """A backend's name and a precision, in one environment: `CUDAExecutionProvider_fp16@env`."""

    name: str
    precision: Precision
    environment: str
    label: str  # as spelled in tables; carries @environment only where it is not the default one


@dataclass(frozen=True)
class TensorFile:
    """A tensor on disk as .npy; types that numpy lacks (bf16, fp8) are stored as raw uint16/uint8."""

    name: str
    path: str
    onnx_type: int  # TensorProto.DataType
    shape: tuple[int, ...]
    made_by: str = ""  # of a reference output: the engine that was run for it; "": it was stored


@dataclass(frozen=True)
class ReferenceQuality:
    """What the reference of one output is worth, told by running it again; differences are the greatest."""

    output: str
    reproducible: bool = True  # False: equal inputs gave other values
    why: str = ""  # it is not: what draws at random
    shape_varies: bool = False  # even shapes differ
    low: float | None = None  # of all values that it took, where it is not reproducible
    high: float | None = None
    noise: float | None = None  # fp64 less fp32, and fp32 on inputs one ulp away; unoptimised all
    optimiser: float | None = None  # optimised less unoptimised: EPs share its faults, so no noise
    flushed: float | None = None  # with subnormals flushed to zero, less without
    flush_breaks: bool = False  # flushing them makes what is not finite, or takes it away


@dataclass(frozen=True)
class TestSet:
    """Inputs to feed and, where known, the outputs to expect."""

    name: str
    inputs: tuple[TensorFile, ...]
    outputs: tuple[TensorFile, ...] = ()
    # outputs of the model with nothing to hold them against; None: nobody said (earlier versions)
    unreferenced: tuple[str, ...] | None = None
    exact: tuple[TensorFile, ...] = ()  # the outputs in fp64, where they could be had
    quality: tuple[ReferenceQuality, ...] = ()  # of outputs, where it was asked for
    origin: str = ""  # of the inputs: stored, given or random, and what a user should know of that
    by_position: tuple[str, ...] = ()  # outputs whose files do not carry their names
    drawn: tuple[TensorFile, ...] = ()  # of outputs that chance decides, what many runs gave
    __test__ = False  # not a test class, whatever pytest thinks of its name


@dataclass(frozen=True)
class Tolerance:
    """|got - reference| <= atol + rtol * |reference|, for all but `percent_mismatch` % of elements."""

    rtol: float
    atol: float
    percent_mismatch: float = 0.0
    atol_scaled: bool = False  # a default: atol times the largest |reference|, integers equal


@dataclass(frozen=True)
class InputOverride:
    """What a model list or a flag says of one input: a shape, a range for random values, a value."""

    shape: tuple[int, ...] | None = None
    range: tuple[int | float, int | float] | None = None  # ints: what no float holds
    value: int | float | str | None = None
    type: str = field(default="", repr=False)  # for models that do not tell; numpy's name


@dataclass(frozen=True)
class ModelFile:
    """The files of one model, by path and digest; nothing is ever written beside them."""

    name: str
    path: str
    sha256: str
    folder: str  # where the model and its external data live
    test_data: str | None = None
    path_fp16: str | None = None
    sha256_fp16: str = ""
    test_data_fp16: str | None = None
    inputs: Mapping[str, InputOverride] = field(default_factory=dict)
    comparison: Comparison = Comparison.ELEMENTWISE
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    half: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # op/node block lists
    custom_ops: Mapping[str, str] = field(default_factory=dict)  # libraries by path: their sha256
    problem: str = (
        ""  # why it cannot be run whatever the target: its cells say so, others are unharmed
    )
    format: Format = Format.ONNX  # of `path`
    forms: tuple[ModelForm, ...] = ()  # the same weights as something else than ONNX

    @property
    def eager_form(self) -> ModelForm | None:
        """What its outputs are held to: the model as PyTorch runs it eagerly, where it has such a form."""
        return model_form.first_of(self.forms, model_form.EAGER)


@dataclass(frozen=True)
class Protocol:
    """How a cell is measured; part of its identity."""

    launches: int = 5
    runs: int | None = None  # fixed number of timed runs per launch; None: 20, then min_time_s
    warmup: int = 3
    min_time_s: float = 1.0
    max_time_s: float = 60.0
    seed: int = 0
    isolation: str = "host"
    instrumented: str = ""  # the --exec_prefix; such a cell carries no latency
    affinity: tuple[int, ...] = ()
    intra_op_threads: int = 0
    inter_op_threads: int = 0


@dataclass(frozen=True)
class Environment:
    """A Python interpreter, its extra variables, and what was found in it."""

    name: str
    python: str
    variables: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """All that a worker needs to answer again by hand, on another day or another host."""

    id: str  # model::target[variant]
    digest: str
    model: ModelFile
    target: Target
    variant: str
    provider: str  # the EP that nodes must be placed on; "" where the backend cannot say
    environment: Environment
    options: Mapping[str, str]
    session_config: Mapping[str, str]
    graph_optimization: str
    io: Io
    tf32: bool
    protocol: Protocol
    tolerance: Tolerance
    inputs_digest: str
    checked: bool = True  # False: --no_check
    benchmarked: bool = True  # False: -r validate
    min_ep_share: float = 0.0
    profile: bool = True
    sets: tuple[TestSet, ...] = ()
    cache: str = ""  # where engines are cached; the check launch builds, the rest load
    plugin: Mapping[str, str] = field(default_factory=dict)  # library, ep_name, registration
    device: int = 0  # position among the GPUs this process may use
    gpu: str = ""  # that GPU's UUID and name; "" where none is needed
    gpu_name: str = ""
    workspace: str = ""
    trtexec: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # of --shape, by input
    batch: int = 0  # of --batch_sizes: items fed at once; 0: as many as its inputs have
    form: ModelForm | None = None  # what the target loads; None: the ONNX file
    cuda_graph: bool = False  # its runs are replays of a captured CUDA graph

    @property
    def folder(self) -> Path:
        """The cell's place below a run's `cells/`: model/target[variant]/digest."""
        leaf = self.target.label + (f"[{self.variant}]" if self.variant else "")
        return Path(safe_name(self.model.name)) / safe_name(leaf) / self.digest


def base_name(name: str) -> str:
    """The input or output that a tensor belongs to: of `name[0]`, and of `name{keys}` of a map, `name`."""
    part = _PART.fullmatch(name)
    return part[1] if part else name


def safe_name(name: str) -> str:
    """Make a name usable as one path component, unchanged where it already is."""
    kept = "".join(c if c.isalnum() or c in "-_.@[]=+" else "_" for c in name)
    if kept == name and name not in ("", ".", "..") and len(name.encode()) < 120:
        return name
    short = kept.strip(".").encode()[:100].decode("utf-8", "ignore")
    named = name.encode("utf-8", "surrogatepass")  # a folder's name may hold halves of characters
    return f"{short}-{hashlib.sha256(named).hexdigest()[:8]}"


def digest_of(cell: Cell) -> str:
    """8 hex of everything that can change a cell's answer, and of nothing that cannot."""
    identity: dict[str, Any] = {
        "model": cell.model.sha256,
        "model_fp16": cell.model.sha256_fp16,
        "comparison": cell.model.comparison.value,
        "half": codec.encode(cell.model.half),
        "inputs": cell.inputs_digest,
        "target": [cell.target.name, cell.target.precision.value],
        "plugin": codec.encode(cell.plugin),
        "environment": [cell.environment.name, codec.encode(cell.environment.versions)],
        "variables": codec.encode(cell.environment.variables),
        "options": codec.encode(cell.options),
        "session_config": codec.encode(cell.session_config),
        "graph": cell.graph_optimization,
        "io": cell.io.value,
        "tf32": cell.tf32,
        "protocol": codec.encode(cell.protocol),
        "tolerance": codec.encode(cell.tolerance),
        "min_ep_share": cell.min_ep_share,
        "checked": cell.checked,
        "benchmarked": cell.benchmarked,
    }
    if cell.model.custom_ops:  # left out where there are none, as it was before there could be any
        identity["custom_ops"] = sorted(cell.model.custom_ops.values())
    if cell.form:
        identity["form"] = [cell.form.format.value, cell.form.sha256, cell.form.entry]
    if eager := cell.model.eager_form:
        identity["reference"] = eager.sha256
    if cell.cuda_graph:  # not told where it is off, so that digests of earlier versions stand
        identity["cuda_graph"] = True
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def seal(cell: Cell) -> Cell:
    """The same cell with its digest filled in."""
    return replace(cell, digest=digest_of(cell))


def write_cell(cell: Cell, path: Path) -> None:
    """Write cell.json, whole or not at all."""
    atomic_file.write_json(path, stamp(codec.encode(cell)), durable=False)


def read_cell(path: Path) -> Cell:
    """Read cell.json; raises ValueError, NewerSchemaError or OSError."""
    return _decode_cell(read_whole(path, CELL_LIMIT, follow=True), path)


@functools.lru_cache(maxsize=1)  # a worker that waits for its cell has mostly read it already
def _decode_cell(data: bytes, path: Path) -> Cell:
    return codec.decode(Cell, without_version(strict_json.parse(data), path))
