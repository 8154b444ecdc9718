"""Three opinions on a model's outputs (the CPU EP, itself optimised, onnx.reference), and their majority."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from perf.conversion import external_data, graph_repair
from perf.conversion.cpu_reference import open_session, output_distance, run_session
from perf.conversion.data_sets import Tensors
from perf.conversion.errors import describe_error
from perf.conversion.node_evaluator import CannotEvaluate, Node, NodeEvaluator, check_kernel
from perf.conversion.random_ops import find_random_ops
from perf.conversion.value_protos import uncarry
from perf.measure import flat_values
from perf.measure.tensor_io import decode

# onnx.reference runs node by node in Python: past these it takes minutes.
MOST_NODES = 150
MOST_INPUT_ELEMENTS = 200_000
MOST_WEIGHT_BYTES = 64 << 20
# All compute in fp32 in a different order of summation; a wrong kernel is far beyond this.
DIFFERENCE = 1e-3


@dataclass(frozen=True)
class CrossCheck:
    """What the opinions come to, in a line, and whose outputs to take instead where the CPU EP lost."""

    note: str
    instead: Any = None


def cross_check(
    path: Path,
    model: onnx.ModelProto | None,
    session: Any,
    feed: Tensors,
    expected: Tensors,
    custom_ops: Sequence[str] = (),
) -> CrossCheck:
    """Hold the unoptimised CPU EP's outputs against two other opinions; a model is never refused.

    None is the model of an .ort file, which holds no ONNX.
    """
    if model is None:
        return CrossCheck(
            "not cross-checked: an .ort file holds no ONNX, which onnx.reference reads"
        )
    if drawn := _by_chance(path, session, feed, expected, custom_ops):
        ops = ", ".join(find_random_ops(model)) or "no op that is known to draw"
        names = ", ".join(map(repr, drawn))
        return CrossCheck(
            f"outputs {names} are not reproducible ({ops}): "
            "a run compares them by what many draws show: shape, values, range, mean and spread"
        )
    if not any(array.size for array in expected.values()):
        nothing = "no output has an element, so that a run will have nothing to compare"
        return CrossCheck(f"not cross-checked: {nothing}")
    if why := _too_large(path, model, feed):
        return CrossCheck(f"not cross-checked: {why}")
    try:
        optimised = open_session(path, optimised=True, custom_ops=custom_ops)
        other = run_session(optimised, feed)
    except Exception as error:  # onnxruntime's exceptions share no public base
        return CrossCheck(
            f"not cross-checked: the CPU EP fails optimised ({describe_error(error, 120)})"
        )
    engines = _distance(other, expected)
    types = {output.name: str(output.type) for output in session.get_outputs()}
    third, why = _ask_reference(model, feed, types)
    if third is None:
        if engines <= DIFFERENCE:
            return CrossCheck(f"cross-checked by the CPU EP optimised alone: onnx.reference {why}")
        return CrossCheck(
            f"undecided: the CPU EP differs from itself optimised by {engines:.2g}, and onnx.reference {why}"
        )
    plain, tuned = _distance(third, expected), _distance(third, other)
    note, alone = judge_opinions(engines, plain, tuned)
    if max(engines, plain) > DIFFERENCE and not alone:
        note += _name_node(path, feed)
    return CrossCheck(note, optimised if alone else None)


def judge_opinions(engines: float, plain: float, tuned: float) -> tuple[str, bool]:
    """The majority of three, in words, and whether the unoptimised CPU EP stands alone.

    `engines` is how far it is from itself optimised; onnx.reference is `plain` and `tuned` from the two.
    """
    two = "two of three agree: "
    if engines <= DIFFERENCE and plain <= DIFFERENCE:
        return f"cross-checked by onnx.reference: relative difference {plain:.1g}", False
    if engines <= DIFFERENCE:
        return (
            f"{two}onnx.reference differs by {plain:.2g} from the CPU EP, optimised or not",
            False,
        )
    if plain <= DIFFERENCE:
        what = f"the CPU EP optimised differs by {engines:.2g} from itself unoptimised"
        return f"{two}{what}, which onnx.reference confirms", False
    if tuned <= DIFFERENCE:
        what = f"the unoptimised CPU EP differs by {plain:.2g} from onnx.reference and from itself optimised"
        return f"{two}{what}, whose outputs are stored", True
    all_three = f"{engines:.2g}, {plain:.2g}, {tuned:.2g}"
    what = f"the CPU EP, itself optimised and onnx.reference all differ ({all_three})"
    return f"undecided: {what}: its outputs are no sure reference", False


def _by_chance(
    path: Path, session: Any, feed: Tensors, expected: Tensors, custom_ops: Sequence[str]
) -> list[str]:
    """Outputs that differ when the same is fed again, in the same session or in another."""
    again = [
        run_session(session, feed),
        run_session(open_session(path, custom_ops=custom_ops), feed),
    ]
    return [n for n in expected if any(_distance(a, {n: expected[n]}) > DIFFERENCE for a in again)]


def _too_large(path: Path, model: onnx.ModelProto, feed: Tensors) -> str:
    nodes = sum(len(graph.node) for graph in graph_repair.all_graphs(model.graph))
    elements = sum(array.size for array in feed.values())
    if nodes > MOST_NODES or elements > MOST_INPUT_ELEMENTS:
        return f"{nodes} nodes and {elements} input elements are too many"
    if path.stat().st_size > MOST_WEIGHT_BYTES or external_data.external_files(path, model):
        return "the weights are too large"
    return ""


def _ask_reference(
    model: onnx.ModelProto, feed: Tensors, types: Mapping[str, str]
) -> tuple[Tensors | None, str]:
    try:
        with np.errstate(all="ignore"):
            plain = {name: uncarry(array) for name, array in feed.items()}
            found = ReferenceEvaluator(model).run(list(types), plain)
        return flat_values.name_outputs(types, found, np.asarray), ""
    except Exception as error:  # an op it lacks, or a bug of its own: no opinion
        return None, f"cannot run it ({describe_error(error, 120)})"


def _distance(found: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    """The greatest relative difference of any output; infinite for another shape or type of value."""
    worst = 0.0
    for name, want in expected.items():
        got = found.get(name)
        if got is not None:  # asanyarray: what numpy lacks keeps its ONNX type
            got = decode(np.asanyarray(got))
        distance = None if got is None else output_distance(got, decode(want))
        worst = max(worst, float("inf") if distance is None else distance.relative)
    return worst


class _BothKernels:
    """fp32 by the CPU EP; raises CannotEvaluate at the first node that onnx.reference computes otherwise."""

    def carry(self, array: Any) -> Any:
        """Values as they are."""
        return array

    def compute(self, node: Node, inputs: Sequence[Any]) -> Sequence[Any]:
        """The CPU EP's outputs."""
        ours = node.run_on_cpu_ep(inputs)
        check_kernel(node, node.run_by_reference(inputs), ours)
        return ours


def _name_node(path: Path, feed: Tensors) -> str:
    try:
        NodeEvaluator(onnx.load(str(path)), _BothKernels()).run(feed)
    except CannotEvaluate as found:
        return f" ({found}, which follows the model's opset)"
    except Exception:  # of either engine on a node alone: the note does without a name
        return ""
    return ""
