"""The cell that a model's reference is an answer to: the CPU EP unoptimised, or the model run eagerly."""

from collections.abc import Sequence
from dataclasses import replace

from perf.backends import Backend
from perf.schema.cell import Cell, Environment, Io, ModelFile, TestSet


def make_reference_cell(
    backend: Backend,
    environment: Environment,
    model: ModelFile,
    like: Cell,
    sets: Sequence[TestSet],
    *,
    half: bool,
) -> Cell:
    """The reference of a cell's inputs; `half`: they are those of the model's own fp16 file."""
    target, eager = backend.targets[0], model.eager_form
    return replace(
        like,
        id=f"{model.name}::reference",
        provider="",
        environment=environment,
        options={},
        session_config={},
        sets=tuple(sets),
        target=replace(like.target, name=target.name, precision=target.precision),
        graph_optimization="disable",
        plugin={},
        variant="reference",
        io=Io.HOST,
        form=eager,
        gpu="",
        gpu_name="",
        tf32=like.tf32 and not eager,
        protocol=replace(like.protocol, instrumented=""),
        model=replace(model, path=model.path_fp16 if half and model.path_fp16 else model.path),
    )
