"""ONNX Runtime's CPU provider by its C API, without Python: the pair of the CPU execution provider."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from perf.backends import Backend, ProbeResult, Session, TargetSpec, Unsupported
from perf.backends._native import program
from perf.backends._native.session import open_session
from perf.backends._ort.session import ARENA, translate_errors
from perf.schema.cell import Cell, Precision

NAME = "native_ort_cpu"


@contextlib.contextmanager
def _open(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    if lacking := program.explain_missing():
        raise Unsupported(lacking)
    words = ("--ort_library", str(find_library()))
    with contextlib.ExitStack() as held:
        with translate_errors("cpu"):
            session = held.enter_context(open_session(cell, launch_dir, words))
        yield session


def find_library() -> Path:
    """The libonnxruntime.so of the wheel that is installed here; raises Unsupported where it has none."""
    spec = importlib.util.find_spec("onnxruntime")  # finds, and does not import
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for library in sorted(Path(folder, "capi").glob("libonnxruntime.so*")):
            return library
    raise Unsupported(
        "the onnxruntime there has no libonnxruntime.so for programs in C: use a wheel of PyPI's"
    )


def _missing(found: ProbeResult) -> str:
    if "onnxruntime (loaded)" not in found.versions:
        return "no onnxruntime there, whose library it loads"
    return program.explain_missing()


BACKEND = Backend(
    targets=(TargetSpec(NAME, Precision.FP32),),
    open=_open,
    missing=_missing,
    preload=("numpy",),
    option_names=frozenset({ARENA}),
    default=False,
)
