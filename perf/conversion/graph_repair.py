"""Repairs of a converted ONNX graph: twice-emitted Casts dropped, nodes put in running order."""

from __future__ import annotations

from collections.abc import Iterator

import onnx


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and, depth first, every subgraph in its nodes' attributes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.output:
                    yield from all_graphs(inner)


def lift_constants(model: onnx.ModelProto) -> int:
    """Make initializers of the main graph's float Constant nodes; how many.

    A converter keeps an initializer in fp32 when only blocked nodes read it, but halves every
    Constant: without this a block list cannot save a weight that fp16 has no room for. Left alone
    below IR version 4, where an initializer would have to be an input too; so is a Constant that is
    an output, since a converter renames what nodes put out.
    """
    if model.ir_version < 4:
        return 0
    outputs = {value.name for value in model.graph.output}
    lifted = 0
    for position in reversed(range(len(model.graph.node))):
        node = model.graph.node[position]
        tensors = [each.t for each in node.attribute if each.name == "value"]
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
        if node.op_type != "Cast" or len(node.output) != 1:
            continue
        text = node.SerializeToString()
        if seen.get(node.output[0]) == text:
            doubles.append(position)
        seen.setdefault(node.output[0], text)
    for position in reversed(doubles):
        del graph.node[position]
    _drop_duplicate_values(graph)
    return len(doubles)


def _drop_duplicate_values(graph: onnx.GraphProto) -> None:
    seen: set[str] = set()
    for position in reversed(range(len(graph.value_info))):
        name = graph.value_info[position].name
        if name in seen:
            del graph.value_info[position]
        seen.add(name)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put the nodes into the order ONNX asks for: each after those that make its inputs.

    Converters append the Casts they insert at the end; ONNX Runtime sorts for itself, other
    readers of the same file need not. Keeps the given order among nodes that are free to run.
    """
    made_by = {
        name: index for index, node in enumerate(graph.node) for name in node.output if name
    }
    needs = [
        {made_by[name] for name in _read_names(node) if name in made_by} - {index}
        for index, node in enumerate(graph.node)
    ]
    readers: dict[int, list[int]] = {}
    for index, wanted in enumerate(needs):
        for other in wanted:
            readers.setdefault(other, []).append(index)
    waiting = [len(wanted) for wanted in needs]
    order: list[int] = []
    ready = [index for index, count in enumerate(waiting) if count == 0]
    for index in ready:  # grows while it is walked: Kahn's algorithm
        order.append(index)
        for reader in readers.get(index, []):
            waiting[reader] -= 1
            if waiting[reader] == 0:
                ready.append(reader)
    if len(order) != len(graph.node):
        raise ValueError("the graph has a cycle")
    nodes = [onnx.NodeProto.FromString(graph.node[index].SerializeToString()) for index in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _read_names(node: onnx.NodeProto) -> set[str]:
    """Every value a node reads, those its subgraphs take from outside included."""
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for deeper in all_graphs(inner):
                names.update(output.name for output in deeper.output)
                names.update(name for each in deeper.node for name in each.input if name)
    return names
