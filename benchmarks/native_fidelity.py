"""How far the C++ runtime's latencies are from a bare loop in C, and Python's from both: interleaved launches.

    python -m benchmarks.native_fidelity [--pairs 60] [--write]

Each round is, in random order, one measure launch of native_ort_cpu, one of CPUExecutionProvider and one process of
benchmarks/bare_ort.c (`Run` between two clock readings, nothing of ours) on the same model, inputs, library, thread and
core. Ratios of p50 are taken round by round, since the machine drifts. It needs `make native` and cc.
"""

import argparse
import itertools
import math
import random
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import fidelity, harness, page
from benchmarks.fidelity import Subject, format_percent, format_us
from perf.backends.native_ort_cpu import NAME, find_library
from perf.schema import cell as cells
from perf.stats.summary import median_interval
from perf.wrapper.supervisor import Supervisor

SOURCE = Path(__file__).with_name("bare_ort.c")
TARGETS = (NAME, "cpu")
BARE = "bare"


def main() -> None:
    given = fidelity.read_words(__doc__, 60)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        bare = build_bare(folder)
        tiny = fidelity.write_tiny(folder / "models", "Relu")
        products = write_products(folder / "models")
        subjects = [
            Subject("squeezenet", ("--models", "squeezenet"), 40, 5),
            Subject(products.stem, ("-m", str(products)), 500, 50),
            Subject(tiny.stem, ("-m", str(tiny)), 5000, 500),
        ]
        rows = [_row(s.name, _rounds(s, folder / s.name, bare, given)) for s in subjects]
    page.publish(_table(rows, given.pairs, given.core), into_page=given.write)


def write_products(folder: Path) -> Path:
    """Eight products of matrices, some hundred us: within a slice of the scheduler, so that p50 is seldom cut."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    data = folder / "products" / "test_data_set_0"
    data.mkdir(parents=True)
    rng = np.random.default_rng(0)
    weight, x = (rng.random(s, dtype=np.float32) / 16 for s in ((256, 256), (64, 256)))
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, x.shape) for n in "xz"]
    steps = itertools.pairwise(["x", *(f"h{i}" for i in range(7)), "z"])
    nodes = [helper.make_node("MatMul", [a, "weight"], [b]) for a, b in steps]
    held = [numpy_helper.from_array(weight, "weight")]
    graph = helper.make_graph(nodes, "products", ends[:1], ends[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "products" / "products.onnx"
    onnx.save(model, path)
    (data / "input_0.pb").write_bytes(numpy_helper.from_array(x, "x").SerializeToString())
    return path


def build_bare(folder: Path) -> Path:
    """The bare loop, compiled; raises CalledProcessError."""
    program = folder / "bare_ort"
    subprocess.run(["cc", "-O2", "-o", str(program), str(SOURCE), "-ldl"], check=True)
    return program


def bare_words(job: Path, runs: int, warmup: int, core: int) -> list[str]:
    """What the bare loop is told of a cell."""
    cell = cells.read_cell(job)
    words = [str(find_library()), cell.model.path, str(runs), str(warmup), str(core)]
    for number, given in enumerate(cell.sets):
        for t in given.inputs:
            words += [str(number), t.name, str(t.onnx_type), "x".join(map(str, t.shape)), t.path]
    return words


def _rounds(
    subject: Subject, folder: Path, bare: Path, given: argparse.Namespace
) -> list[dict[str, float]]:
    """p50 in ns of each way, round by round."""
    jobs = {
        target: harness.cell_of(
            folder / target / "result", "-r", "both", "-i", "zoo", "-e", target, *subject.flags, "--launches",
            "1", "-t", str(subject.runs), "--warmup", str(subject.warmup), "--cpu_affinity", str(given.core),
            "--intra_op_threads", "1",
        )
        for target in TARGETS
    }  # fmt: skip
    words = bare_words(jobs[NAME], subject.runs, subject.warmup, given.core)
    chance, out = random.Random(subject.name), []
    with harness.quiet(), Supervisor() as supervisor:
        launches = {
            target: harness.Launches(supervisor, job, folder / target / "host", "host")
            for target, job in jobs.items()
        }
        for _ in range(given.pairs):
            found: dict[str, float] = {}
            for way in chance.sample([*TARGETS, BARE], len(TARGETS) + 1):
                if way == BARE:
                    done = subprocess.run(
                        [str(bare), *words], capture_output=True, text=True, check=True
                    )
                    found[way] = statistics.median(map(int, done.stdout.split()))
                else:
                    timed = launches[way].one().timed
                    assert timed is not None  # Launches.one raises where it is
                    found[way] = statistics.median(timed.samples_ns)
            out.append(found)
    return out


def _row(name: str, rounds: Sequence[dict[str, float]]) -> tuple[str, ...]:
    logs = [math.log(r[NAME] / r[BARE]) for r in rounds]
    differences = [r[NAME] - r[BARE] for r in rounds]
    added = [r["cpu"] - r[NAME] for r in rounds]
    bare_us, cpp_us, python_us = (
        statistics.median(r[way] for r in rounds) / 1e3 for way in (BARE, NAME, "cpu")
    )
    return (
        name,
        str(len(rounds)),
        f"{bare_us:,.2f}",
        f"{cpp_us:,.2f}",
        f"{100 * math.expm1(statistics.median(logs)):+.2f} %",
        format_percent(median_interval(logs, 0.95)),
        f"{statistics.median(differences) / 1e3:+.2f}",
        f"{python_us:,.2f}",
        f"{statistics.median(added) / 1e3:+.2f}",
        format_us(median_interval(added, 0.95)),
        "within 1 us" if cpp_us < 100 else "within 1 %",
    )


def _table(rows: Sequence[tuple[str, ...]], pairs: int, core: int) -> page.Table:
    return page.Table(
        "native fidelity",
        f"python -m benchmarks.native_fidelity --pairs {pairs}",
        ("model", "rounds", "bare C p50 us", "C++ p50 us", "median ratio", "95 % of it", "difference us",
         "Python p50 us", "Python adds us", "95 % of that", "bar"),
        tuple(rows),
        (
            f"Interleaved launches, one thread on core {core}: native_ort_cpu, CPUExecutionProvider, and a loop in C.",
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()
