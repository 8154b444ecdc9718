"""Repairs of converted graphs, and what ONNX's schemas say that an opset can halve."""

from graphlib import CycleError

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from perf.conversion import graph_repair, op_schemas

RELU = helper.make_node("Relu", ["x_fp32"], ["y"])
X_FP32 = helper.make_tensor_value_info("x_fp32", TensorProto.FLOAT, [2])


def graph_of(*nodes: onnx.NodeProto) -> onnx.GraphProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    return helper.make_graph(nodes, "g", [x], [y])


def cast(to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", ["x"], ["x_fp32"], "c", to=to)


def test_the_same_cast_is_kept_once_and_another_is_for_the_engine_to_refuse() -> None:
    graph = graph_of(cast(TensorProto.FLOAT), cast(TensorProto.FLOAT), RELU)
    graph.value_info.extend([X_FP32, X_FP32])
    assert graph_repair.drop_duplicate_casts(graph) == 1
    assert [node.op_type for node in graph.node] == ["Cast", "Relu"]
    assert len(graph.value_info) == 1
    assert graph_repair.drop_duplicate_casts(graph) == 0
    other = graph_of(cast(TensorProto.FLOAT), cast(TensorProto.DOUBLE))
    assert graph_repair.drop_duplicate_casts(other) == 0


def test_nodes_come_after_what_they_read_also_through_subgraphs() -> None:
    inside = helper.make_node("Identity", ["late"], ["i"])
    made = helper.make_tensor_value_info("i", TensorProto.FLOAT, [2])
    inner = helper.make_graph([inside], "inner", [], [made])
    graph = graph_of(
        helper.make_node("If", ["cond"], ["y"], then_branch=inner, else_branch=inner),
        helper.make_node("Relu", ["mid"], ["late"]),
        helper.make_node("Relu", ["x"], ["mid"]),
        helper.make_node("Relu", ["x"], ["free"]),
    )
    graph_repair.sort_nodes(graph)
    assert [list(node.output) for node in graph.node] == [["mid"], ["free"], ["late"], ["y"]]
    cycle = [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    with pytest.raises(CycleError):
        graph_repair.sort_nodes(graph_of(*cycle))


@pytest.mark.parametrize(("ir_version", "lifted"), [(8, 1), (3, 0)])
def test_float_constants_become_initializers_from_ir_4_on(ir_version: int, lifted: int) -> None:
    value = numpy_helper.from_array(np.ones(2, np.float32))
    index = numpy_helper.from_array(np.ones(2, np.int64))
    graph = graph_of(
        helper.make_node("Constant", [], ["c"], value=value),
        helper.make_node("Constant", [], ["i"], value=index),
        helper.make_node("Add", ["x", "c"], ["y"]),
    )
    model = helper.make_model(graph, ir_version=ir_version)
    assert graph_repair.lift_constants(model) == lifted
    assert [tensor.name for tensor in model.graph.initializer] == ["c"] * lifted
    assert len(model.graph.node) == 3 - lifted


@pytest.mark.parametrize(
    ("op", "opset", "element", "lacks"),
    [
        ("DequantizeLinear", 17, "float16", True), ("DequantizeLinear", 19, "float16", False),
        ("Conv", 17, "bfloat16", True), ("Conv", 22, "bfloat16", False),
        ("ConstantOfShape", 17, "bfloat16", True), ("ConstantOfShape", 20, "bfloat16", False),
        ("ConstantOfShape", 17, "float16", False), ("MatMul", 17, "bfloat16", False),
        ("LayerNormalization", 17, "float16", False), ("Resize", 13, "float16", False),
        ("NoSuchOp", 17, "float16", False),
    ],
)  # fmt: skip
def test_schemas_say_what_can_be_halved(op: str, opset: int, element: str, lacks: bool) -> None:
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph_of(helper.make_node(op, ["x"], ["y"])), opset_imports=imports)
    assert (op in op_schemas.op_types_without(model, element)) is lacks
