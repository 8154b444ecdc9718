"""Ops that draw at random are found wherever they stand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from perf.conversion.random_ops import find_random_ops
from tests.setup_models.tiny import mlp, model_of

TRUE, FALSE = np.array(True), np.array(False)
HALF = np.array(0.5, np.float32)


def dropout(*inputs: str, **weights: np.ndarray) -> onnx.ModelProto:
    return model_of([helper.make_node("Dropout", ["x", *inputs], ["y"])], {"r": HALF, **weights})


def in_a_branch() -> onnx.ModelProto:
    made = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    drawing = helper.make_node("RandomUniformLike", ["x"], ["z"])
    branches = [
        helper.make_graph([n], "b", [], made)
        for n in (drawing, helper.make_node("Neg", ["x"], ["z"]))
    ]
    return model_of([helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])],
                    {"c": TRUE})  # fmt: skip


def in_a_function(op: str) -> onnx.ModelProto:
    made = model_of([helper.make_node("Mine", ["x"], ["y"], domain="mine")])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    body = [helper.make_node(op, ["a"], ["b"])]
    made.functions.append(helper.make_function("mine", "Mine", ["a"], ["b"], body, opsets[:1]))
    return made


CASES = {
    "none": (mlp(), ()),
    "drawn": (
        model_of([helper.make_node("RandomNormalLike", ["x"], ["y"])]),
        ("RandomNormalLike",),
    ),
    "Bernoulli": (model_of([helper.make_node("Bernoulli", ["x"], ["y"])]), ("Bernoulli",)),
    "in a branch": (in_a_branch(), ("RandomUniformLike",)),
    "in a function": (in_a_function("RandomNormalLike"), ("RandomNormalLike",)),
    "a function that does not": (in_a_function("Neg"), ()),
    "nobody knows whose": (
        model_of([helper.make_node("Op", ["x"], ["y"], domain="their")]),
        ("their.Op",),
    ),
    "dropout that trains": (dropout("r", "t", t=TRUE), ("Dropout",)),
    "dropout that may train": (dropout("r", "fed"), ("Dropout",)),
    "dropout that does not": (dropout("r", "t", t=FALSE), ()),
    "dropout without a word": (dropout("r"), ()),
}


@pytest.mark.parametrize("name", CASES)
def test_ops_that_draw_are_named(name: str) -> None:
    model, drawing = CASES[name]
    assert find_random_ops(model) == drawing
