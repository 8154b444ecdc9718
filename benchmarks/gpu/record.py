"""Keeps what a real GPU says, small enough to be a test's fixture: records of activities, and NVML's series.

usage: record.py activity OUT MODEL…      on an environment with onnxruntime-gpu and CUPTI
       record.py nvml OUT RUN -- COMMAND…     while the command makes that run of one cell and one launch
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from perf.backends import cuda
from perf.backends._ort.graph_session import FixedBuffers, GraphSession
from perf.backends._ort.session import SessionSpec
from perf.machine.gpus import find_gpus
from perf.machine.nvml_sampler import NvmlSampler
from perf.machine.process_tree import process_tree
from perf.measure import cupti, device_time
from perf.schema import codec
from perf.schema.cell import (
    Cell,
    Environment,
    Io,
    ModelFile,
    Precision,
    Protocol,
    Target,
    Tolerance,
)

RUNS = 3
PERIOD_S = 0.05


class Stale(GraphSession):
    """A graph whose inputs are copied in before its capture alone."""

    def _copy_in(
        self, buffers: FixedBuffers, arrays: Mapping[str, "np.ndarray[Any, Any]"]
    ) -> None:
        pass


def record_activity(out: Path, folders: Sequence[Path]) -> None:
    """Heads of the records of a few runs, with and without a graph, and what is made of them."""
    told: dict[str, Any] = {}
    with cupti.open_trace() as trace:
        for folder in folders:
            for graph in (False, True):
                cell = make_cell(folder, graph=graph)
                feed = read_feed(folder)
                with cuda.BACKEND.open(cell, Path()) as session:
                    run: Callable[[int], object] = session.runner([feed], cell)  # type: ignore[attr-defined]
                    timed = device_time.time_device(run, 1, cell.protocol, trace)
                    heads = []
                    for _ in range(RUNS):
                        run(0)
                        heads.append([h.hex() for h in trace.take_heads()])
                told[f"{folder.name} {'graph' if graph else 'plain'}"] = {
                    "heads": heads, "device_timed": codec.encode(timed),
                }  # fmt: skip
                print(
                    folder.name,
                    graph,
                    timed.kernels,
                    sorted(timed.kernels_ns)[10],
                    sorted(timed.busy_ns)[10],
                )
            tell_replays(folder)
    out.write_text(json.dumps(told, indent=1), encoding="utf-8")


def tell_replays(folder: Path) -> None:
    """How far replays are from runs without their graph, and those of a graph that is fed nothing new."""
    cell, feed = make_cell(folder, graph=True), read_feed(folder)
    options = tuple({cuda.NAME: cuda.cuda_options(cell), "CPUExecutionProvider": {}}.items())
    spec = SessionSpec(cell.model.path, options, device="cuda")
    for kind in (GraphSession, Stale):
        opened: Any = kind.open(cell, Path(), spec)
        with opened as session:
            for name, got, without in session.compare_replays(feed):
                furthest = max(float(np.abs(got[n] - without[n]).max()) for n in without)
                print(folder.name, kind.__name__, name, "max abs", furthest)


def make_cell(folder: Path, *, graph: bool) -> Cell:
    """The model on the CUDA EP, from host to host."""
    return Cell(
        id=f"{folder.name}::{cuda.NAME}", digest="", variant="", provider=cuda.NAME,
        model=ModelFile(folder.name, str(folder / "model.onnx"), "", str(folder)),
        target=Target(cuda.NAME, Precision.FP32, "current", cuda.NAME),
        environment=Environment("current", sys.executable), options={}, session_config={},
        graph_optimization="all", io=Io.HOST, tf32=False, protocol=Protocol(runs=20),
        tolerance=Tolerance(1e-3, 1e-3), inputs_digest="", profile=False, cuda_graph=graph,
    )  # fmt: skip


def read_feed(folder: Path) -> dict[str, "np.ndarray[Any, Any]"]:
    """The first stored test set's inputs, by the model's names."""
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    files = sorted((folder / "test_data_set_0").glob("input_*.pb"))
    arrays = [numpy_helper.to_array(onnx.load_tensor(str(f))) for f in files]
    return dict(zip((i.name for i in model.graph.input), arrays, strict=False))


def record_nvml(out: Path, run: Path, command: Sequence[str]) -> None:
    """NVML's readings while a command runs, as the harness takes them, and the journal of its launch."""
    sampler = NvmlSampler(find_gpus()[0])
    sampler.baseline()
    child = subprocess.Popen(command)
    while child.poll() is None:
        sampler.sample(process_tree(child.pid))
        time.sleep(PERIOD_S)
    told = {
        "baseline": codec.encode(sampler._baseline),
        "samples": [codec.encode(s) for s in sampler._samples],
        "power_source": sampler._power_source,
    }
    (journal,) = run.glob("cells/*/*/*/measure_0/journal.jsonl")
    out.with_name("nvml_journal.jsonl").write_bytes(journal.read_bytes())
    shutil.copy(journal.with_name("launch.json"), out.with_name("nvml_launch.json"))
    out.write_text(json.dumps(told, default=sorted), encoding="utf-8")
    print(len(sampler._samples), "samples", sampler.notes)


def main(words: Sequence[str]) -> int:
    """Record one of the two."""
    what, out, *rest = words
    if what == "activity":
        record_activity(Path(out), [Path(w) for w in rest])
    else:
        record_nvml(Path(out), Path(rest[0]), rest[2:])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
