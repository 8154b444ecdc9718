"""PyTorch run eagerly, operator by operator, which also says what a model's outputs should be."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from perf.backends import Backend, Session, TargetSpec
from perf.backends._torch import loading
from perf.backends._torch.graph_session import TorchGraphSession
from perf.backends._torch.session import TorchSession, feeds_by_shape, operator_evidence
from perf.backends._torch.setup import is_on_gpu, missing, set_up, takes_gpu, translate_errors
from perf.schema.cell import Cell, Precision
from perf.schema.journal import PrecisionEvidence
from perf.schema.model_form import EAGER, Format

NAME = "torch"


class EagerSession(TorchSession):
    """Also tells the types that operators computed in."""

    def precision_evidence(self) -> PrecisionEvidence | None:
        """By one run of a check launch whose operators are looked at."""
        asked = self._setup.weights or self._setup.autocast
        if asked is None or not self._cell.profile or not self._cell.sets:
            return None
        return operator_evidence(self, feeds_by_shape(self._cell)[0], asked)


class EagerGraphSession(TorchGraphSession, EagerSession):
    """The same, captured once and replayed."""


@contextlib.contextmanager
def _open(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    import torch

    assert cell.form is not None  # planning gives this target no other cells
    setup = set_up(cell)
    with translate_errors():
        loaded = loading.load(cell.form)
        module = setup.place(loaded.module)
    scripted = cell.form.format is Format.TORCHSCRIPT
    # TorchScript would be specialised and fused after a few runs: this target interprets it as it stands
    with torch.jit.optimized_execution(False) if scripted else contextlib.nullcontext():
        kind = EagerGraphSession if cell.cuda_graph else EagerSession
        yield kind(cell, module, loaded.arguments, setup)


def reduced_targets(name: str) -> tuple[TargetSpec, ...]:
    """A PyTorch engine's targets: in fp32, and those in less that run only where they are named."""
    reduced = (
        Precision.TF32, Precision.FP16, Precision.BF16, Precision.FP32_FP16, Precision.FP32_BF16,
    )  # fmt: skip
    return (
        TargetSpec(name, Precision.FP32),
        *(TargetSpec(name, p, default=False) for p in reduced),
    )


BACKEND = Backend(
    targets=reduced_targets(NAME),
    open=_open,
    missing=missing,
    preload=("numpy", "torch"),
    formats=EAGER,
    describe=loading.describe,
    takes_gpu=takes_gpu,
    cuda_graphs=True,
    watched=is_on_gpu,
)
