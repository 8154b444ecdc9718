"""Tiny ONNX models and folder snapshots for the tests of model set-up."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from perf.conversion import data_sets


def mlp(batch: int | str = "batch", width: int = 8, opset: int = 17) -> onnx.ModelProto:
    """relu(x @ W + b) @ V, seeded; its output depends on its input."""
    generator = np.random.default_rng(7)
    shapes = {"W": (width, 16), "b": (16,), "V": (16, 4)}
    weights = {n: generator.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["h"], "mm0"),
        helper.make_node("Add", ["h", "b"], ["hb"], "add0"),
        helper.make_node("Relu", ["hb"], ["r"], "relu0"),
        helper.make_node("MatMul", ["r", "V"], ["y"], "mm1"),
    ]
    return model_of(nodes, weights, [batch, width], [batch, 4], opset)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    weights: Mapping[str, Any] = {},
    x: Sequence[int | str | None] = (1, 8),
    y: Sequence[int | str | None] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model from float x to float y, of these nodes and weights."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def model_folder(folder: Path, name: str = "model.onnx") -> Path:
    """A model with one test set beside it, as the zoo ships them; its folder."""
    save(mlp(), folder / name)
    x = np.ones((1, 8), np.float32)
    data_sets.write_set(folder / "test_data_set_0", {"x": x}, {"y": np.zeros((1, 4), np.float32)})
    return folder


def tree(folder: Path) -> dict[str, str]:
    """Every path below the folder, with its digest: two equal trees are the same folder."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        )
        for path in sorted(folder.rglob("*"))
    }
