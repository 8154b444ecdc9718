"""How far the harness's latencies are from a bare loop's: paired launches of both, interleaved.

    python -m benchmarks.fidelity [--pairs 100] [--write]

Each pair is, in random order, one measure launch of the harness and one bare process (benchmarks/bare.py:
`session.run` between two clock readings, nothing of ours) on the same model, inputs, threads and core. The
ratio of their p50 is taken pair by pair, since the machine drifts; its interval is Student's on the logs.
"""

import argparse
import math
import os
import random
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import harness, page
from perf.stats.summary import Interval, mean_interval, median_interval
from perf.wrapper.supervisor import Supervisor

ISOLATIONS = ("host", "spawn")


@dataclass(frozen=True)
class Subject:
    """A model to be timed both ways."""

    name: str
    flags: tuple[str, ...]
    runs: int
    warmup: int
    share: float = 1.0  # of the pairs asked for: tiny models vary less


def read_words(about: str | None, pairs: int) -> argparse.Namespace:
    """The flags of a comparison by paired launches on one core, `pairs` where none are asked for."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--pairs", type=int, default=pairs)
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument(
        "--write", action="store_true", help="put the table into docs/performance.md"
    )
    return parser.parse_args()


def main() -> None:
    given = read_words(__doc__, 100)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tiny = [write_tiny(folder / "models", op) for op in ("Relu", "Identity")]
        subjects = [
            Subject("squeezenet", ("--models", "squeezenet"), 40, 5),
            Subject("inception_v1", ("--models", "inception_v1"), 20, 3),
            *(Subject(p.stem, ("-m", str(p)), 5000, 500, share=0.25) for p in tiny),
        ]
        rows, floors = [], []
        for subject in subjects:
            pairs = _pairs(subject, folder / subject.name, given)
            rows += [_row(subject.name, how, pairs.p50s[how]) for how in ISOLATIONS]
            floors += pairs.floors_ns
    page.publish(_table(rows, floors, given.pairs, given.core), into_page=given.write)


def write_tiny(folder: Path, op: str) -> Path:
    """A model of one node on 8 floats, with inputs, in seed 004's layout: as near to nothing as ORT runs."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    name = f"tiny_{op.lower()}"
    data = folder / name / "test_data_set_0"
    data.mkdir(parents=True)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [8]) for n in "xy")
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], name, [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / name / f"{name}.onnx"
    onnx.save(model, path)
    values = np.arange(8, dtype=np.float32)
    (data / "input_0.pb").write_bytes(numpy_helper.from_array(values, "x").SerializeToString())
    return path


@dataclass(frozen=True)
class Pairs:
    """p50 of launches as (bare, harness) in ns, by isolation; and the harness's empty clock pairs."""

    p50s: dict[str, list[tuple[float, float]]]
    floors_ns: list[int]


def _pairs(subject: Subject, folder: Path, given: argparse.Namespace) -> Pairs:
    job = harness.cell_of(
        folder / "result", "-r", "both", "-i", "zoo", "-e", "cpu", *subject.flags, "--launches", "1",
        "-t", str(subject.runs), "--warmup", str(subject.warmup), "--cpu_affinity", str(given.core),
        "--intra_op_threads", "1",
    )  # fmt: skip
    out = Pairs({how: [] for how in ISOLATIONS}, [])
    rng = random.Random(subject.name)
    with harness.quiet(), Supervisor() as supervisor:
        launches = {h: harness.Launches(supervisor, job, folder / h, h) for h in ISOLATIONS}
        for _ in range(int(given.pairs * subject.share)):
            found: dict[str, float] = {}
            for how in rng.sample([*ISOLATIONS, "bare"], len(ISOLATIONS) + 1):
                if how == "bare":
                    samples = harness.bare(job, subject.runs, subject.warmup).samples_ns
                else:
                    timed = launches[how].one().timed
                    assert timed is not None  # Launches.one raises where it is
                    samples = timed.samples_ns
                    out.floors_ns.append(timed.floor_ns)
                found[how] = statistics.median(samples)
            for how in ISOLATIONS:
                out.p50s[how].append((found["bare"], found[how]))
    return out


def _row(name: str, how: str, pairs: Sequence[tuple[float, float]]) -> tuple[str, ...]:
    logs = [math.log(mine / bare) for bare, mine in pairs]
    differences = [mine - bare for bare, mine in pairs]
    bare_us, mine_us = (statistics.median(side) / 1e3 for side in zip(*pairs, strict=True))
    tiny = mine_us < 100
    return (
        name,
        how,
        str(len(pairs)),
        f"{bare_us:,.2f}",
        f"{mine_us:,.2f}",
        f"{100 * math.expm1(statistics.median(logs)):+.2f} %",
        format_percent(mean_interval(logs)),
        f"{statistics.median(differences) / 1e3:+.2f}",
        format_us(median_interval(differences, 0.95)),
        "within 1 us" if tiny else "within 1 %",
    )


def _table(
    rows: Sequence[tuple[str, ...]], floors_ns: Sequence[int], pairs: int, core: int
) -> page.Table:
    floor = statistics.median(floors_ns)
    return page.Table(
        "fidelity",
        f"python -m benchmarks.fidelity --pairs {pairs}",
        ("model", "launched by", "pairs", "bare p50 us", "harness p50 us", "median ratio", "95 % of the mean",
         "difference us", "95 % of it", "bar"),
        tuple(rows),
        (
            f"Interleaved pairs, one thread on core {core}; CPUExecutionProvider.",
            f"Floors: an empty pair of clock readings {floor:.0f} ns (told by every launch); the Identity "
            "model above is the least that a run can cost. Rows of models under 100 us are marked "
            "overhead-bound in the tables.",
        ),
    )  # fmt: skip


def format_percent(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{100 * math.expm1(interval.low):+.2f} … {100 * math.expm1(interval.high):+.2f} %"


def format_us(interval: Interval | None) -> str:
    return f"{interval.low / 1e3:+.2f} … {interval.high / 1e3:+.2f}" if interval else ""


if __name__ == "__main__":
    main()
