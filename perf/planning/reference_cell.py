"""The cell that a model's reference is an answer to: the CPU EP with every graph optimisation off."""

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
    target = backend.targets[0]
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
        protocol=replace(like.protocol, instrumented=""),
        model=replace(model, path=model.path_fp16 if half and model.path_fp16 else model.path),
    )
