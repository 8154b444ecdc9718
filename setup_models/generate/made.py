"""A model fresh from its recipe, and the folder layout that it is written in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[Any]
Feed = Mapping[str, Array]


@dataclass(frozen=True)
class Made:
    """A model and the inputs of its test data sets, by tensor name."""

    model: onnx.ModelProto
    feeds: tuple[Feed, ...]


def write(made: Made, folder: Path) -> None:
    """Write `model.onnx` and `test_data_set_N/{input,output}_M.pb` into an existing folder.

    Outputs are the CPU EP's with every optimisation off and one thread: nothing is fused, and the order of
    additions does not depend on the number of cores. Raises what onnx's checker or the engine raises when a
    recipe made a bad model, and ValueError when an output holds NaN or Inf.
    """
    onnx.checker.check_model(made.model, full_check=True)
    payload = made.model.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(payload)
    engine = session(payload)
    names = [value.name for value in engine.get_outputs()]
    for number, feed in enumerate(made.feeds):
        home = folder / f"test_data_set_{number}"
        home.mkdir()
        ordered = [(value.name, feed[value.name]) for value in engine.get_inputs()]
        outputs = list(zip(names, engine.run(None, dict(feed)), strict=True))
        for name, array in outputs:
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError(f"output {name} of set {number} is not finite")
        for kind, tensors in (("input", ordered), ("output", outputs)):
            for place, (name, array) in enumerate(tensors):
                tensor = numpy_helper.from_array(array, name)
                (home / f"{kind}_{place}.pb").write_bytes(tensor.SerializeToString())


def session(model: bytes) -> ort.InferenceSession:
    """The reference engine: CPU EP, no optimisation, one thread, errors only on stderr."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
