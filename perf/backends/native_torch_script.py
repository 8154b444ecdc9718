"""A TorchScript file on libtorch, without Python: the pair of the target torch_script."""

import contextlib
import importlib.metadata
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from perf.backends import Backend, ProbeResult, Session, TargetSpec, Unsupported
from perf.backends._native import program
from perf.backends._native.session import NativeSession, open_session
from perf.backends._torch.session import onnx_output_names
from perf.backends._torch.setup import takes_gpu
from perf.machine.gpus import device_ordinal
from perf.schema.cell import Cell, Precision
from perf.schema.model_form import Format

NAME = "native_torch_script"
OPS_LIBRARY = "ops_library"


@contextlib.contextmanager
def _open(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    if lacking := program.explain_missing_torch():
        raise Unsupported(lacking)
    library = cell.options.get(OPS_LIBRARY, "")
    if library and not Path(library).is_file():
        raise Unsupported(f"{OPS_LIBRARY}={library}: no such file")
    own = replace(cell, device=device_ordinal(cell.device, os.environ.get("CUDA_VISIBLE_DEVICES")))
    names = onnx_output_names(cell)
    with open_session(own, launch_dir, (), names, _refuse_another_version) as session:
        yield session


def _refuse_another_version(session: NativeSession) -> None:
    """The libtorch that the program is linked with is that of this environment, or a table would mix two."""
    linked = session.versions["libtorch"]
    here = importlib.metadata.version("torch").partition("+")[0]
    if linked != here:
        raise Unsupported(
            f"the C++ runtime is linked with libtorch {linked}, and this environment has PyTorch {here}: "
            "make native builds it anew (TORCH_PYTHON names the interpreter)"
        )


def _missing(found: ProbeResult) -> str:
    if "torch" not in found.versions:
        return "no torch there: its environment has it (env build torch)"
    return program.explain_missing_torch()


BACKEND = Backend(
    targets=(TargetSpec(NAME, Precision.FP32),),
    open=_open,
    missing=_missing,
    preload=("numpy",),
    formats=(Format.TORCHSCRIPT,),
    option_names=frozenset({"device", "optimization_pipeline", OPS_LIBRARY}),
    takes_gpu=takes_gpu,
    default=False,
)
