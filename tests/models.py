"""Tiny valid model folders for tests: made in milliseconds, references computed by numpy, no engine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Tensors = Mapping[str, Array]
Shape = Sequence[int | str]

OPSET, IR = 17, 8


def identity(path: Path, *, shape: Sequence[int] = (1, 4)) -> Path:
    """y = x, float32, two sets: the floor of what a run costs."""
    node = helper.make_node("Identity", ["x"], ["y"], name="same")
    feeds = [{"x": noise(number, shape)} for number in range(2)]
    return write(path, [node], {"x": shape}, {"y": shape}, [(x, {"y": x["x"]}) for x in feeds])


def relu(path: Path, *, shape: Sequence[int] = (2, 8), sets: int = 2) -> Path:
    """y = max(x, 0), float32."""
    node = helper.make_node("Relu", ["x"], ["y"], name="rectify")
    feeds = [{"x": noise(number, shape)} for number in range(sets)]
    return write(
        path,
        [node],
        {"x": shape},
        {"y": shape},
        [(x, {"y": np.maximum(x["x"], 0)}) for x in feeds],
    )


def linear(path: Path, *, sets: int = 2, error: float = 0.0) -> Path:
    """y = x · W + b with a dynamic batch: x ["batch", 8] (batch is 1 + the set's number), y ["batch", 4].

    `error` is added to every stored reference, so that a right engine is found wrong.
    """
    weight, bias = noise(100, (8, 4)), noise(101, (4,))
    nodes = [
        helper.make_node("MatMul", ["x", "weight"], ["product"], name="multiply"),
        helper.make_node("Add", ["product", "bias"], ["y"], name="shift"),
    ]
    feeds = [{"x": noise(number, (1 + number, 8))} for number in range(sets)]
    return write(
        path,
        nodes,
        {"x": ["batch", 8]},
        {"y": ["batch", 4]},
        [(x, {"y": (x["x"] @ weight + bias + np.float32(error))}) for x in feeds],
        parameters={"weight": weight, "bias": bias},
    )


def with_weights_listed(folder: Path, ir_version: int) -> Path:
    """The folder's model with its weights among its inputs, first, as IR 3 wants it; the folder."""
    model = onnx.load(folder / "model.onnx")
    model.ir_version = ir_version
    for t in model.graph.initializer:
        model.graph.input.insert(0, helper.make_tensor_value_info(t.name, t.data_type, t.dims))
    onnx.save(model, folder / "model.onnx")
    return folder


def two_outputs(path: Path) -> Path:
    """total = a + b, difference = a - b: one shape, so that a swap shows in values only."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["total"], name="add"),
        helper.make_node("Sub", ["a", "b"], ["difference"], name="subtract"),
    ]
    feeds = [{"a": noise(number, (3, 5)), "b": noise(number + 50, (3, 5))} for number in range(2)]
    return write(
        path,
        nodes,
        {"a": (3, 5), "b": (3, 5)},
        {"total": (3, 5), "difference": (3, 5)},
        [(x, {"total": x["a"] + x["b"], "difference": x["a"] - x["b"]}) for x in feeds],
    )


def lookup(path: Path) -> Path:
    """y = table[ids]: int64 ids ["batch", "length"] below 10, so that a random feed must know a range."""
    table = noise(7, (10, 3))
    node = helper.make_node("Gather", ["table", "ids"], ["y"], name="look_up")
    rng = np.random.default_rng(8)
    feeds = [{"ids": rng.integers(0, 10, (1 + number, 4 + number))} for number in range(2)]
    return write(
        path,
        [node],
        {"ids": ["batch", "length"]},
        {"y": ["batch", "length", 3]},
        [(x, {"y": table[x["ids"]]}) for x in feeds],
        parameters={"table": table},
        kinds={"ids": TensorProto.INT64},
    )


def noise(seed: int, shape: Sequence[int]) -> Array:
    """Standard normal float32 values."""
    return np.random.default_rng(seed).standard_normal(tuple(shape)).astype(np.float32)


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
    sets: Sequence[tuple[Tensors, Tensors]],
    *,
    parameters: Tensors | None = None,
    kinds: Mapping[str, int] | None = None,
    opset: int = OPSET,
) -> Path:
    """Write a model folder: `model.onnx` and one `test_data_set_N` per (inputs, outputs) pair; its path.

    Every tensor is float32 unless `kinds` says else. An empty mapping of outputs stores no reference.
    """
    kinds = kinds or {}

    def declared(shapes: Mapping[str, Shape]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), list(shape))
            for name, shape in shapes.items()
        ]

    graph = helper.make_graph(
        list(nodes),
        path.name,
        declared(inputs),
        declared(outputs),
        initializer=[numpy_helper.from_array(v, k) for k, v in (parameters or {}).items()],
    )
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR)
    path.mkdir(parents=True)
    (path / "model.onnx").write_bytes(model.SerializeToString())
    for number, pair in enumerate(sets):
        home = path / f"test_data_set_{number}"
        home.mkdir()
        for kind, tensors in zip(("input", "output"), pair, strict=True):
            for place, (name, array) in enumerate(tensors.items()):
                tensor = numpy_helper.from_array(np.asarray(array), name)
                (home / f"{kind}_{place}.pb").write_bytes(tensor.SerializeToString())
    return path
