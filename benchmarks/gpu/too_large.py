"""Makes a model that needs more memory than any one card has, so that a real GPU can be seen to run out."""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

COPIES = 48  # tensors of 2^30 floats (4 GiB each) that must live at once: 192 GiB
ELEMENTS = 1 << 30


def main(folder: Path) -> int:
    """Write model folder `folder`/too_large with one test set."""
    out = folder / "too_large"
    data = out / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    nodes, names, constants = [], [], [numpy_helper.from_array(np.array([ELEMENTS]), "shape")]
    for i in range(COPIES):
        constants.append(numpy_helper.from_array(np.array([float(i)], np.float32), f"c{i}"))
        nodes.append(helper.make_node("Add", ["x", f"c{i}"], [f"a{i}"]))
        nodes.append(helper.make_node("Expand", [f"a{i}", "shape"], [f"e{i}"]))
        names.append(f"e{i}")
    nodes.append(helper.make_node("Sum", names, ["sum"]))
    nodes.append(helper.make_node("ReduceMax", ["sum"], ["y"], keepdims=0))
    graph = helper.make_graph(
        nodes, "too_large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, out / "model.onnx")
    x = np.array([1.0], np.float32)
    y = np.float32(COPIES + sum(range(COPIES)))
    (data / "input_0.pb").write_bytes(numpy_helper.from_array(x, "x").SerializeToString())
    (data / "output_0.pb").write_bytes(
        numpy_helper.from_array(np.asarray(y), "y").SerializeToString()
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
