"""The TensorRT execution provider of onnxruntime-gpu, its engines cached, in fp32 or by its fp16 flag."""

import contextlib
import ctypes
import difflib
import importlib
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perf.backends import (
    FALLBACK_EP_PREFIX,
    Backend,
    ProbeResult,
    Session,
    TargetSpec,
    Tensors,
    Unsupported,
    cuda,
)
from perf.backends._ort.provider import missing_provider
from perf.backends._ort.session import OrtSession, Providers, SessionSpec
from perf.backends._tensorrt import builder, engine_cache, onnx_header
from perf.measure import layer_precision
from perf.measure.timing import TimedRuns
from perf.schema import shape_profiles
from perf.schema.cell import Cell, Precision
from perf.schema.journal import PrecisionEvidence

NAME = "TensorrtExecutionProvider"
OURS = frozenset(("build", "gpu_only"))  # options of a cell that are none of the provider's
REQUIREMENT = "tensorrt-cu13>=10.13,<11"
NEWEST = 10  # the major version that ORT's provider is linked against; 11 has no fp16 builder flag
LIBRARY = "libonnxruntime_providers_tensorrt.so"
_OPTION = re.compile(rb"trt_[a-z0-9_]+(?=\0)")


class LibraryMissingError(Exception):
    """A library that ONNX Runtime's TensorRT provider needs is not there; the message names it."""


class RebuiltError(Exception):
    """An engine was built inside the timed loop: its samples are not those of a run."""


@contextlib.contextmanager
def open_session(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """A session on TensorRT, then CUDA, then the CPU; the first session of a cache builds its engines.

    Raises Unsupported for an option that the library does not know, LibraryMissingError where it cannot load.
    """
    chain = providers(cell)
    library = find_library()
    if reason := unknown_option(chain[0][1], library):
        raise Unsupported(reason)
    cuda.preload(cell)
    spec = SessionSpec(
        cell.model.path,
        chain,
        device="cuda",
        device_id=cuda.device_number(cell),
        cached=any(name.endswith(".engine") for name in stat_engines(cell.cache)),
    )
    with contextlib.ExitStack() as stack:
        try:
            session = stack.enter_context(OrtSession.open(cell, launch_dir, spec))
        except RuntimeError as e:
            if "install TensorRT" not in str(e) or not (reason := explain_load_error(library)):
                raise
            raise LibraryMissingError(
                f"TensorRT cannot be loaded: {reason}; it needs {REQUIREMENT} and CUDA 13 with cuDNN 9 on "
                "the library path"
            ) from e
        yield WatchedSession(session, cell)


class WatchedSession:
    """A session of the TensorRT EP whose cache is watched; satisfies perf.backends.Session."""

    def __init__(self, session: Session, cell: Cell) -> None:
        self._session, self._cell = session, cell
        self.cached = session.cached
        self.infer, self.placement = session.infer, session.placement

    def time(self, feeds: Sequence[Tensors], cell: Cell) -> TimedRuns:
        """Timed runs, every shape run once before; raises RebuiltError where the EP built an engine between.

        The EP rebuilds an engine, and writes it to its cache, when a shape is outside what it was built for.
        """
        for feed in feeds:
            self._session.infer(feed)
        before = stat_engines(cell.cache)
        runs = self._session.time(feeds, cell)
        if changed := [n for n, seen in stat_engines(cell.cache).items() if before.get(n) != seen]:
            raise RebuiltError(
                f"engine {changed[0]} was built inside the timed loop; give --trt_profile for every dynamic "
                "input, wide enough for every shape that is fed"
            )
        return runs

    def precision_evidence(self) -> PrecisionEvidence | None:
        """By the inspector on the engines in the cache, where the tensorrt package is there to read them.

        Engines tell their layers' types only where they were built so (trt_detailed_build_log may do it).
        """
        if not self._cell.profile or not self._cell.cache:
            return None
        try:
            trt = importlib.import_module("tensorrt")
        except ModuleNotFoundError:
            return None
        return inspect_engines(trt, self._cell)


def stat_engines(cache: str) -> Mapping[str, tuple[int, int]]:
    """The engines and profiles in a cache, each with when it was written and its size."""
    files = [p for k in ("*.engine", "*.profile") for p in Path(cache).glob(k)] if cache else []
    return {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in files}


def inspect_engines(trt: Any, cell: Cell) -> PrecisionEvidence | None:
    """All layers of all engines in a cell's cache; None where no engine can be read or none tells types."""
    log = builder.TrtLog(trt)
    runtime = trt.Runtime(log.logger)
    layers: list[Any] = []
    for file in sorted(Path(cell.cache).glob("*.engine")):
        engine = runtime.deserialize_cuda_engine(file.read_bytes())
        if engine is None:
            print(f"precision not attested: {file.name}: {log.errors_text()}", flush=True)
            return None
        inspector = engine.create_engine_inspector()
        info = json.loads(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
        layers += info.get("Layers", [])
    regime = builder.typing_regime(trt, cell.target.precision)
    return layer_precision.evidence_of_engine(json.dumps(layers), "", cell, regime)


def providers(cell: Cell) -> Providers:
    """TensorRT, then CUDA for the nodes that it leaves, with the options the user gave CUDA; then the CPU."""
    fallback = {
        k.removeprefix(FALLBACK_EP_PREFIX): v
        for k, v in cell.options.items()
        if k.startswith(FALLBACK_EP_PREFIX)
    }
    device = {"device_id": str(cuda.device_number(cell)), "use_tf32": str(int(cell.tf32))}
    return (
        (NAME, options(cell) | complete_profiles(cell)),
        (cuda.NAME, device | fallback),
        ("CPUExecutionProvider", {}),
    )


def options(cell: Cell) -> dict[str, str]:
    """The provider's options: precision, caches and device are the cell's, the rest what the user gave.

    Explicit profiles come in `cell.options` as trt_profile_min_shapes, _opt_shapes and _max_shapes.
    """
    out = {
        "device_id": str(cuda.device_number(cell)),
        "trt_fp16_enable": str(int(cell.target.precision is Precision.FP16)),
    }
    if cell.cache:
        Path(cell.cache).mkdir(parents=True, exist_ok=True)
        out |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": cell.cache,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": cell.cache,
        }
    return out | {
        k: v
        for k, v in cell.options.items()
        if k not in OURS and not k.startswith(FALLBACK_EP_PREFIX)
    }


def complete_profiles(cell: Cell) -> dict[str, str]:
    """Explicit profiles of all dynamic inputs, where one was given: ORT refuses them for only some.

    The others get what covers the shapes fed. A profile of a tensor inside the model stays as it is: where a
    graph is cut, a partition's inputs want them too. Several profiles of one input are ORT's own, and left to
    it. Raises Unsupported for a profile that does not serve what is fed, or is of no tensor of the model.
    """
    try:
        given = shape_profiles.from_options(cell.options)
    except ValueError:
        return {}
    if not given:
        return {}
    model = Path(cell.model.path)
    dynamic = {v.name: v.dynamic for v in onnx_header.read(model).inputs}
    inner = [p for p in given if p.name not in dynamic]
    data = model.read_bytes() if inner else b""
    if unknown := next((p.name for p in inner if p.name.encode() not in data), ""):
        raise Unsupported(f"--trt_profile: the model has no tensor {unknown!r}")
    try:
        whole = shape_profiles.merge_profiles(
            [p for p in given if p.name in dynamic], engine_cache.fed_shapes(cell)
        )
        return dict(shape_profiles.to_options([*(p for p in whole if dynamic[p.name]), *inner]))
    except ValueError as e:
        raise Unsupported(str(e)) from e


def find_library() -> Path | None:
    """The provider's file in the onnxruntime that this interpreter imports; None where it has none."""
    spec = importlib.util.find_spec("onnxruntime")
    for folder in spec.submodule_search_locations or () if spec else ():
        if (path := Path(folder) / "capi" / LIBRARY).is_file():
            return path
    return None


def unknown_option(names: Iterable[str], library: Path | None) -> str:
    """One line on the first trt_ option that the library has no word for; "" where there is none.

    Options that are none of TensorRT's own (device_id, user_compute_stream) are left to ORT to judge.
    """
    known = library_options(library) if library else frozenset()
    for name in names:
        if known and name.startswith("trt_") and name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=3)
            meant = f"; nearest are {', '.join(near)}" if near else ""
            return f"option {name!r} is not known to the TensorRT EP of this onnxruntime{meant}"
    return ""


def library_options(library: Path) -> frozenset[str]:
    """The C strings in its file that begin with trt_, options among them; loading it would need TensorRT."""
    return frozenset(m.decode("ascii") for m in _OPTION.findall(library.read_bytes()))


def explain_load_error(library: Path | None) -> str:
    """Which library the provider lacks, by asking the loader again; "" where it says nothing of use."""
    try:
        if library is not None:
            ctypes.CDLL(str(library))
    except OSError as e:
        return str(e)
    return ""


def missing(found: ProbeResult) -> str:
    """What CUDA needs, and TensorRT 10, which ORT loads by that version's library name."""
    if reason := cuda.missing(found):
        return reason
    for name, version in found.versions.items():
        major = re.match(r"\d+", version)
        ours = name.lower().startswith("tensorrt") and "rtx" not in name.lower()
        if ours and major and int(major[0]) > NEWEST:
            return f"TensorRT {major[0]} is there; onnxruntime-gpu needs {REQUIREMENT}"
    return missing_provider(found, NAME, f"onnxruntime-gpu and {REQUIREMENT}")


BACKEND = Backend(
    targets=(
        TargetSpec(NAME, Precision.FP32, ("trt", "ORT-TRTFp32")),
        TargetSpec(NAME, Precision.FP16, ("trt:fp16", "ORT-TRTFp16")),
    ),
    open=open_session,
    missing=missing,
    provider=NAME,
    preload=("numpy", "onnxruntime"),
    builds=True,
    needs_gpu=True,
    options_flag="trt_ep_options",
    fallback_options_flag="cuda_ep_options",
    takes_profiles=True,
)
