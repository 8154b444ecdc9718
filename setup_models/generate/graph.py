"""Models in the making: graphs written top to bottom, and the folders that they are written in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from perf.conversion.cpu_reference import open_session, run_session
from perf.conversion.data_sets import write_set

OPSET = 17  # LayerNormalization came with it, and every engine in use knows it
IR = 8

Array = NDArray[Any]
Feed = Mapping[str, Array]
Shape = Sequence[int | str | None]


class Graph:
    """Each call appends one node; taken as `proto` for Loop and If, or as a whole `model()`."""

    def __init__(self, name: str) -> None:
        self.proto = onnx.GraphProto(name=name)
        self._parameters: set[str] = set()

    def input(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> str:
        """Declare an input; strings in `shape` are dynamic dimensions."""
        self.proto.input.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> None:
        """Declare an output, made by a node with `out=name`."""
        self.proto.output.append(helper.make_tensor_value_info(name, kind, shape))

    def parameter(self, name: str, array: Array) -> str:
        """An initializer; one of a name that is there already is shared, as constants are."""
        if name not in self._parameters:
            self._parameters.add(name)
            self.proto.initializer.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        """A shared int64 vector, for axes, shapes and indices."""
        name = "const_" + "_".join(map(str, values)).replace("-", "m")
        return self.parameter(name, np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """A shared float32 scalar."""
        name = f"const_f{value!r}".replace("-", "m")
        return self.parameter(name, np.array(value, np.float32))

    def add(self, operator: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Append a node with one output; the output is named `out`, or after the operator."""
        stem = f"{self.proto.name}/{operator.lower()}_{len(self.proto.node)}"
        return self.add_many(operator, *inputs, outs=(out or f"{stem}_0",), **attributes)[0]

    def add_many(
        self, operator: str, *inputs: str, outs: Sequence[str], **attributes: Any
    ) -> Sequence[str]:
        """Append a node with several outputs; their names."""
        stem = f"{self.proto.name}/{operator.lower()}_{len(self.proto.node)}"
        node = helper.make_node(operator, inputs, outs, name=stem, **attributes)
        self.proto.node.append(node)
        return outs

    def model(self) -> onnx.ModelProto:
        """The whole as a model that every engine in use can load."""
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(self.proto, opset_imports=opset, ir_version=IR)
        model.producer_name = "ep-perf"
        return model


@dataclass(frozen=True)
class GeneratedModel:
    """A model and the inputs of its test data sets, by tensor name."""

    model: onnx.ModelProto
    feeds: tuple[Feed, ...]


def write_model(generated: GeneratedModel, folder: Path) -> None:
    """Write `model.onnx` and `test_data_set_N/{input,output}_M.pb` into an existing folder.

    Outputs are the CPU EP's with every optimisation off and one thread: the order of additions does not
    depend on the number of cores. Raises what onnx's checker or the engine does; ValueError for NaN or Inf.
    """
    onnx.checker.check_model(generated.model, full_check=True)
    payload = generated.model.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(payload)
    session = open_session(payload, threads=1)
    for number, feed in enumerate(generated.feeds):
        outputs = run_session(session, feed)
        for name, array in outputs.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"output {name} of set {number} is not finite")
        ordered = {value.name: feed[value.name] for value in session.get_inputs()}
        write_set(folder / f"test_data_set_{number}", ordered, outputs)
