"""A cell of a toy model with a dynamic float input and a fixed int64 one whose name holds a colon."""

import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from perf.schema import cell as cells
from perf.schema.cell import (
    Cell,
    Environment,
    ModelFile,
    Precision,
    Protocol,
    Target,
    TensorFile,
    TestSet,
    Tolerance,
)
from tests.inprocess import asking

FAKE = Path(__file__).parent / "trtexec" / "trtexec.py"
HERE = Environment("tests", sys.executable)


def model(path: Path, precision: int = TensorProto.FLOAT) -> Path:
    """scores = x · 2 for float x ["batch", 3], ids:0 passed through (int64)."""
    two = helper.make_tensor("two", precision, [1], [2.0])
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["scores"]),
        helper.make_node("Identity", ["ids:0"], ["same"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", precision, ["batch", 3]),
         helper.make_tensor_value_info("ids:0", TensorProto.INT64, [2])],
        [helper.make_tensor_value_info("same", TensorProto.INT64, [2]),
         helper.make_tensor_value_info("scores", precision, ["batch", 3])],
        [two],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    return path


def trtexec_in(folder: Path) -> str:
    """The path of a program that is the fake trtexec, run by this interpreter."""
    program = folder / "trtexec"
    program.write_text(
        f"#!{sys.executable}\nimport runpy\nrunpy.run_path({str(FAKE)!r}, run_name='__main__')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def cell(tmp_path: Path, sets: int = 1, **changes: Any) -> Cell:
    """A cell of that model with `sets` sets of inputs and their outputs, set i of batch i + 1."""
    made = []
    for i in range(sets):
        feed = {
            "x": np.arange(3 * (i + 1), dtype=np.float32).reshape(i + 1, 3) / 7,
            "ids:0": np.array([i, -5]),
        }
        want = {"same": feed["ids:0"], "scores": feed["x"] * 2}
        files = {}
        for name, array in (feed | want).items():
            path = tmp_path / f"{name.replace(':', '_')}_{i}.npy"
            np.save(path, array)
            onnx_type = 7 if array.dtype == np.int64 else 1
            files[name] = TensorFile(name, str(path), onnx_type, array.shape)
        made.append(
            TestSet(f"set_{i}", (files["x"], files["ids:0"]), (files["same"], files["scores"]))
        )
    fields: dict[str, Any] = {
        "environment": HERE, "protocol": Protocol(runs=20, warmup=3), "tolerance": Tolerance(1e-4, 1e-5),
        "inputs_digest": "0", "sets": tuple(made), "cache": str(tmp_path / "cache"),
        "target": Target("Standalone_TRT", Precision.FP32, "tests", "Standalone_TRT"),
        "trtexec": trtexec_in(tmp_path),
    }  # fmt: skip
    toy = ModelFile("toy", str(model(tmp_path / "toy.onnx")), "0" * 64, str(tmp_path))
    return cells.seal(asking.cell(toy, "", **(fields | changes)))


def half(c: Cell) -> Cell:
    """The same cell, asked for in half precision."""
    return replace(
        c, target=replace(c.target, precision=Precision.FP16, label="Standalone_TRT_fp16")
    )


def feeds(c: Cell) -> list[dict[str, np.ndarray]]:
    """What its sets feed."""
    return [{t.name: np.load(t.path) for t in s.inputs} for s in c.sets]
