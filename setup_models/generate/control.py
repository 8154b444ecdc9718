"""A recurrence written with Loop, its length an input, and an If whose branches do different things."""

import numpy as np
import onnx
from onnx import TensorProto

from setup_models.generate import seeded
from setup_models.generate.graph import Feed, GeneratedModel, Graph

_WIDTH = 64
# batch, steps, mean of x: the If's branches are taken in turn
_SETS = ((2, 24, 0.5), (3, 60, -0.5))


def build(seed: int) -> GeneratedModel:
    """x [b, 64] and a number of steps in; final state [b, 64] and trace [steps, b, 64] out."""
    feeds = tuple(_feed(seed, number, *case) for number, case in enumerate(_SETS))
    return GeneratedModel(_model(seed), feeds)


def _feed(seed: int, number: int, batch: int, steps: int, mean: float) -> Feed:
    rng = seeded.stream(seed, "control", "set", number)
    x = seeded.uniform(rng, (batch, _WIDTH), mean - 1, mean + 1)
    return {"x": x, "steps": np.array(steps, np.int64)}


def _model(seed: int) -> onnx.ModelProto:
    graph = Graph("control")
    x = graph.input("x", ["batch", _WIDTH])
    steps = graph.input("steps", [], TensorProto.INT64)
    for name, gain in (("recurrent", 1.2), ("then", 1.0), ("else", 1.0)):
        rng = seeded.stream(seed, "control", name)
        array = seeded.weights(rng, (_WIDTH, _WIDTH), fan_in=_WIDTH, gain=gain)
        graph.parameter(f"{name}.weight", array)
    forever = graph.parameter("forever", np.array(True))
    state, _ = graph.add_many(
        "Loop", steps, forever, x, outs=("state", "trace"), body=_body().proto
    )
    mean = graph.add("ReduceMean", x, keepdims=0)
    positive = graph.add("Greater", mean, graph.scalar(0.0))
    graph.add(
        "If",
        positive,
        out="final",
        then_branch=_branch("then", state, "Relu").proto,
        else_branch=_branch("else", state, "Sigmoid").proto,
    )
    graph.output("final", ["batch", _WIDTH])
    graph.output("trace", ["steps", "batch", _WIDTH])
    return graph.model()


def _body() -> Graph:
    """One step: state ← tanh(state · W + x), also collected in the trace."""
    body = Graph("step")
    body.input("iteration", [], TensorProto.INT64)
    go_on = body.input("go_on", [], TensorProto.BOOL)
    old = body.input("old", ["batch", _WIDTH])
    pushed = body.add("Add", body.add("MatMul", old, "recurrent.weight"), "x")
    new = body.add("Tanh", pushed, out="new")
    body.add("Identity", go_on, out="still_on")
    body.add("Identity", new, out="seen")
    body.output("still_on", [], TensorProto.BOOL)
    body.output("new", ["batch", _WIDTH])
    body.output("seen", ["batch", _WIDTH])
    return body


def _branch(name: str, state: str, operator: str) -> Graph:
    branch = Graph(name)
    product = branch.add("MatMul", state, f"{name}.weight", out=f"{name}.product")
    branch.add(operator, product, out=f"{name}.result")
    branch.output(f"{name}.result", ["batch", _WIDTH])
    return branch
