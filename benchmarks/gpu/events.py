"""Holds host-clock, device-resident timing against CUDA events, and harness timing against a bare loop."""

import statistics
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import numpy_helper

RUNS = 300


def main(folder: Path) -> int:
    """Print medians in ms for one model folder."""
    ort.preload_dlls()
    x = numpy_helper.to_array(
        onnx.load_tensor(str(next((folder / "test_data_set_0").glob("input*.pb"))))
    )
    stream = torch.cuda.Stream()
    options = {"device_id": "0", "use_tf32": "0", "user_compute_stream": str(stream.cuda_stream)}
    session = ort.InferenceSession(
        str(folder / "model.onnx"), providers=[("CUDAExecutionProvider", options)]
    )
    assert session.get_providers()[0] == "CUDAExecutionProvider", session.get_providers()
    name = session.get_inputs()[0].name
    print(f"{folder.name}: events {_events(session, name, x, stream):.4f} ms", end="")
    print(f", host clock, synchronised {_host_clock(session, name, x):.4f} ms", end="")
    plain = ort.InferenceSession(
        str(folder / "model.onnx"),
        providers=[("CUDAExecutionProvider", {"device_id": "0", "use_tf32": "0"})],
    )
    print(f", bare session.run loop {_bare(plain, name, x):.4f} ms")
    return 0


def _bound(session: Any, name: str, x: "np.ndarray[Any, Any]") -> Any:
    binding = session.io_binding()
    binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(x, "cuda", 0))
    for output in session.get_outputs():
        binding.bind_output(output.name, "cuda", 0)
    return binding


def _events(session: Any, name: str, x: "np.ndarray[Any, Any]", stream: Any) -> float:
    binding = _bound(session, name, x)
    times = []
    with torch.cuda.stream(stream):
        for i in range(RUNS):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record(stream)
            session.run_with_iobinding(binding)
            end.record(stream)
            end.synchronize()
            if i >= RUNS // 10:
                times.append(begin.elapsed_time(end))
    middle: float = statistics.median(times)
    return middle


def _host_clock(session: Any, name: str, x: "np.ndarray[Any, Any]") -> float:
    binding = _bound(session, name, x)
    times = []
    for i in range(RUNS):
        begin = perf_counter_ns()
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        if i >= RUNS // 10:
            times.append((perf_counter_ns() - begin) / 1e6)
    return statistics.median(times)


def _bare(session: Any, name: str, x: "np.ndarray[Any, Any]") -> float:
    outputs = [o.name for o in session.get_outputs()]
    times = []
    for i in range(RUNS):
        begin = perf_counter_ns()
        session.run(outputs, {name: x})
        if i >= RUNS // 10:
            times.append((perf_counter_ns() - begin) / 1e6)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
