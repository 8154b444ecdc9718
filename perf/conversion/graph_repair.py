"""Repairs of a converted ONNX graph: twice-emitted Casts dropped, nodes put in running order."""

from collections.abc import Iterator
from graphlib import TopologicalSorter

import onnx


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph (or function) and, depth first, every subgraph in its nodes' attributes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    yield from all_graphs(inner)


def lift_constants(model: onnx.ModelProto) -> int:
    """Make initializers of the main graph's float Constant nodes; how many.

    A converter keeps an initializer in fp32 when only blocked nodes read it, but halves every
    Constant: without this a block list cannot save a weight that fp16 has no room for. Left alone are
    graphs below IR version 4, whose initializers must be inputs, and outputs, which converters rename.
    """
    if model.ir_version < 4:
        return 0
    outputs = {value.name for value in model.graph.output}
    lifted = 0
    for position in reversed(range(len(model.graph.node))):
        node = model.graph.node[position]
        tensors = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        if node.op_type != "Constant" or not tensors or node.domain not in {"", "ai.onnx"}:
            continue
        if tensors[0].data_type != onnx.TensorProto.FLOAT or node.output[0] in outputs:
            continue
        stored = model.graph.initializer.add()
        stored.CopyFrom(tensors[0])
        stored.name = node.output[0]
        del model.graph.node[position]
        lifted += 1
    return lifted


def drop_duplicate_casts(graph: onnx.GraphProto) -> int:
    """Drop each Cast whose output an equal Cast already makes; how many were dropped.

    onnxruntime's converter emits the same Cast once per reader when an initializer is shared by
    two nodes that need it in fp32 (two Resize on one `scales`), and such a model does not load.
    """
    seen: dict[str, bytes] = {}
    doubles = []
    for position, node in enumerate(graph.node):
        if node.op_type == "Cast":
            text = node.SerializeToString()
            first = seen.setdefault(node.output[0], text)
            if first is not text and first == text:
                doubles.append(position)
    for position in reversed(doubles):
        del graph.node[position]
    values = {value.name: value.SerializeToString() for value in graph.value_info}
    del graph.value_info[:]
    graph.value_info.extend(map(onnx.ValueInfoProto.FromString, values.values()))
    return len(doubles)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put each node after those that make its inputs, else in the given order; raises graphlib.CycleError.

    Converters append the Casts they insert at the end; ONNX Runtime sorts for itself, others need not.
    """
    made_by = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    sorter: TopologicalSorter[int] = TopologicalSorter({i: () for i in range(len(graph.node))})
    for i, node in enumerate(graph.node):
        sorter.add(i, *({made_by[name] for name in read_names(node) if name in made_by} - {i}))
    order = sorter.static_order()
    nodes = [onnx.NodeProto.FromString(graph.node[index].SerializeToString()) for index in order]
    del graph.node[:]
    graph.node.extend(nodes)


def read_names(node: onnx.NodeProto) -> set[str]:
    """Every value a node reads, those its subgraphs take from outside included."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for deeper in all_graphs(inner):
                names.update(output.name for output in deeper.output)
                names.update(name for reader in deeper.node for name in reader.input if name)
    return names
