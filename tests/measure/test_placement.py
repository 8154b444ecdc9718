import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from perf.measure import placement
from perf.schema.journal import Placement

CPU = "CPUExecutionProvider"


def looping(path: Path) -> Path:
    """z = exp(relu(x + x) looped), with three nodes in the body of the Loop."""

    def value(name: str, kind: int = TensorProto.FLOAT, shape: tuple[int, ...] = (2,)) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    flag, count = TensorProto.BOOL, TensorProto.INT64
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["c"], ["again"]),
            helper.make_node("Add", ["a", "a"], ["b"]),
            helper.make_node("Relu", ["b"], ["d"]),
        ],
        "body",
        [value("i", count, ()), value("c", flag, ()), value("a")],
        [value("again", flag, ()), value("d")],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["n", "", "x"], ["y"], body=body),
            helper.make_node("Exp", ["y"], ["z"]),
        ],
        "g",
        [value("n", count, ()), value("x")],
        [value("z")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def profiled(path: Path, steps: int) -> tuple[Placement | None, Path]:
    options = ort.SessionOptions()
    options.add_session_config_entry(placement.RECORD, "1")
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(""))
    session = ort.InferenceSession(str(looping(path)), options, providers=[CPU])
    feed = {"n": np.array(steps), "x": np.ones(2, np.float32)}
    session.run(None, feed)
    session.run(None, feed)
    return placement.placement_from_session(session), Path(session.end_profiling())


def test_assignment_counts_the_bodies_of_loops(tmp_path: Path) -> None:
    placed, _ = profiled(tmp_path / "m.onnx", 3)
    assert placed is not None
    assert (placed.source, placed.nodes) == ("graph_assignment", {CPU: 5})
    assert placed.op_types == {CPU: {"Identity": 1, "Add": 1, "Relu": 1, "Loop": 1, "Exp": 1}}
    assert placed.partitions == {CPU: 5}


def test_a_profile_counts_each_node_once_however_often_it_ran(tmp_path: Path) -> None:
    _, profile = profiled(tmp_path / "m.onnx", 4)
    placed = placement.placement_from_profile(profile)
    assert placed.source == "profile"
    assert placed.nodes == {CPU: 5}


def test_time_in_a_loop_is_counted_once(tmp_path: Path) -> None:
    _, profile = profiled(tmp_path / "m.onnx", 50)
    events = json.loads(profile.read_text())
    start = max(e["ts"] for e in events if e["name"] == "model_run")
    kernels = [e for e in events if e["name"].endswith("_kernel_time") and e["ts"] >= start]
    outermost = sum(e["dur"] for e in kernels if e["args"]["op_name"] in ("Loop", "Exp"))
    total = placement.host_times(profile)[CPU]
    assert total == pytest.approx(outermost, rel=0.02, abs=2)
    assert total < sum(e["dur"] for e in kernels)


def event(name: str, ts: int, dur: int, provider: str, op: str, tid: int = 1) -> dict[str, Any]:
    args = {"provider": provider, "op_name": op}
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": ts,
        "dur": dur,
        "tid": tid,
        "args": args,
    }


def test_a_bodys_time_goes_to_its_own_provider(tmp_path: Path) -> None:
    run = {"cat": "Session", "name": "model_run", "dur": 1, "tid": 1, "args": {}}
    events = [
        run | {"ts": 0},
        event("old", 1, 500, "A", "Add"),
        run | {"ts": 600},
        event("inner", 610, 30, "B", "Conv"),
        event("if", 605, 40, "A", "If"),
        event("loop", 602, 50, "A", "Loop"),
        event("after", 652, 8, "A", "Add"),
        event("beside", 612, 100, "C", "Add", tid=2),
    ]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(events))
    assert placement.host_times(path) == {"A": 50 - 40 + 40 - 30 + 8, "B": 30, "C": 100}
    assert placement.placement_from_profile(path).nodes == {"A": 3, "B": 1, "C": 1}


def test_time_of_each_subgraph_that_a_provider_compiled(tmp_path: Path) -> None:
    """Named as TensorRT's are, in a profile written by hand; OpenVINO's are seen in wrapper/test_fallback.py."""
    trt, run = (
        "TensorrtExecutionProvider",
        {"cat": "Session", "name": "model_run", "dur": 1, "tid": 1},
    )
    kernels = [
        (f"{trt}_TRTKernel_graph_g_1_{i}_{i}", f"TRTKernel_graph_g_1_{i}", trt) for i in (0, 1)
    ]
    events = [run | {"ts": 0, "args": {}}]
    events += [event(name, 1 + i, 900, p, op) for i, (name, op, p) in enumerate(kernels)]
    events.append(run | {"ts": 2000, "args": {}})
    events += [
        event(name, 2010 + 100 * i, 40 + i, p, op) for i, (name, op, p) in enumerate(kernels)
    ]
    events.append(event("Det_3", 2300, 7, CPU, "Det"))
    path = tmp_path / "p.json"
    path.write_text(json.dumps(events))
    assert placement.partition_times(path) == {
        trt: {"TRTKernel_graph_g_1_0_0": 40.0, "TRTKernel_graph_g_1_1_1": 41.0}
    }


def test_an_ort_without_assignment_says_so() -> None:
    assert placement.placement_from_session(object()) is None
