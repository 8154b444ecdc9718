"""A batch is proved by runs of the real engine, and what only looks like one is not."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from perf.conversion.batch_proof import batch_prover
from perf.conversion.cpu_reference import open_session, run_session
from perf.conversion.errors import UserError
from perf.conversion.model_inputs import Overrides, resolve_shapes
from perf.conversion.signature import read_signature
from tests import models

RELU = helper.make_node("Relu", ["x"], ["y"])
MATMUL = helper.make_node("MatMul", ["x", "w"], ["y"])


def node(kind: str, inputs: Sequence[str] = ("x",), **attributes: int) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), ["y"], **attributes)


def resolved(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, models.Shape],
    outputs: Sequence[str] = ("y",),
    **weights: np.ndarray,
) -> dict[str, tuple[int, ...]]:
    declared = {name: ("a", "b") for name in outputs}
    made = models.write(folder, nodes, inputs, declared, [], parameters=weights)
    path = made / "model.onnx"
    values, session = read_signature(path).inputs, open_session(path)
    prover = batch_prover(partial(run_session, session), values, Overrides())
    return resolve_shapes(values, Overrides(), {}, prover)


@pytest.mark.parametrize(
    ("nodes", "inputs"),
    [
        ([RELU], {"x": ("unk__749", 4)}),
        ([MATMUL], {"x": ("DynamicDimension.0", 4)}),
        ([node("Add", ["x", "z"])], {"x": ("one_name", 4), "z": ("another", 4)}),
        ([node("Concat", ["x", "z"], axis=1)], {"x": ("unk__1", 4), "z": ("batch", 4)}),
    ],
)
def test_rows_that_do_not_touch_are_a_batch_whatever_their_names(
    nodes: list[onnx.NodeProto], inputs: Mapping[str, models.Shape], tmp_path: Path
) -> None:
    found = resolved(tmp_path / "m", nodes, inputs, w=np.ones((4, 4), np.float32))
    assert found == {name: (1, 4) for name in inputs}


def test_a_recurrent_state_has_its_batch_behind_its_layers(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["steps"]),
        helper.make_node(
            "RNN", ["steps", "w", "r", "", "", "state"], ["all", "next"], hidden_size=3
        ),
    ]
    weights = {"w": models.noise(1, (1, 3, 4)), "r": models.noise(2, (1, 3, 3))}
    inputs = {"x": ("unk__7", 4), "state": (1, "batch", 3)}
    found = resolved(
        tmp_path / "m", nodes, inputs, ("next",), axis=np.array([0], np.int64), **weights
    )
    assert found == {"x": (1, 4), "state": (1, 1, 3)}


@pytest.mark.parametrize(
    "nodes",
    [
        [node("ReduceSum")],  # one output, however many rows
        [node("Softmax", axis=0)],  # each row knows of the others
        [node("CumSum", ["x", "first"], reverse=1)],
        [node("Transpose")],  # rows become columns
        [node("Concat", ["x", "w"], axis=0)],  # a row too many
    ],
    ids=["sum", "softmax", "cumulative", "transposed", "longer"],
)
def test_rows_that_touch_are_no_batch(nodes: list[onnx.NodeProto], tmp_path: Path) -> None:
    weights: dict[str, np.ndarray] = {"w": np.ones((4, 4), np.float32), "first": np.array(0)}
    with pytest.raises(UserError, match="for example --shape x=1x4"):
        resolved(tmp_path / "m", nodes, {"x": ("rows", 4)}, ("y",), **weights)
