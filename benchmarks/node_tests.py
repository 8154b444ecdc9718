"""ONNX's own node tests through the harness: how long, in how much memory, and whether each has its outcome.

    python -m benchmarks.node_tests [--cases FOLDER] [--jobs 2] [--write]

Writes the cases that the onnx package generates as model folders (once, if FOLDER is given), runs
`-r validate` over them with a process per launch, then the same cases on bare ONNX Runtime
(benchmarks/bare_cases.py), and holds the two accounts against each other.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import bare_cases, harness, onnx_cases, page, watching
from perf.results import run_folder
from perf.results.run_folder import RunFolder
from perf.schema.record import Mismatched, Outcome, Passed, Raised, Record, Skipped

WALL_BAR_S = 90


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=Path, help="where the cases are kept from run to run")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--write", action="store_true", help="put the tables into docs/performance.md"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.cases or Path(scratch) / "cases"
        count = onnx_cases.write(folder)
        results = Path(scratch) / "result"
        flags = ["-r", "validate", "-i", "zoo", "-m", str(folder), "-e", "cpu", "-q",
                 "--jobs", str(given.jobs), "--intra_op_threads", "1", "--rtol", str(bare_cases.RTOL),
                 "--atol", str(bare_cases.ATOL)]  # fmt: skip
        seen = watching.watch(harness.wrapper("-o", str(results), *flags), Path(scratch) / "log")
        run = RunFolder(results, (results / "latest").resolve().name)
        records = run_folder.read_records(run)
        launches = len(list(run.root.glob("**/launch.json")))
        began = time.monotonic()
        bare = _bare(folder, given.jobs)
        bare_s = time.monotonic() - began
    page.publish(_costs(seen, records, count, launches, bare_s, given.jobs), into_page=given.write)
    page.publish(_outcomes(records, bare), into_page=given.write)


def _bare(folder: Path, parts: int) -> dict[str, str]:
    """What bare ONNX Runtime makes of every case; raises RuntimeError where a part did not end well."""
    words = [sys.executable, "-m", "benchmarks.bare_cases", str(folder)]
    running = [
        subprocess.Popen([*words, str(i), str(parts)], stdout=subprocess.PIPE, cwd=harness.ROOT)
        for i in range(parts)
    ]
    told: dict[str, str] = {}
    for one in running:
        out, _ = one.communicate()
        if one.returncode:
            raise RuntimeError(f"benchmarks.bare_cases ended with status {one.returncode}")
        told |= json.loads(out)
    return told


def _costs(
    seen: watching.Watched,
    records: Sequence[Record],
    count: int,
    launches: int,
    bare_s: float,
    jobs: int,
) -> page.Table:
    early, late = (_rss(seen, part) for part in ((0.1, 0.3), (0.8, 0.98)))
    rows = (
        ("wall of the whole run", f"{seen.wall_s:.1f} s", f"< {WALL_BAR_S} s"),
        ("cases with an outcome", f"{len(records)} of {count}", "all"),
        ("processes", f"{launches}", ""),
        ("wall per process", f"{seen.wall_s / launches * 1e3:.1f} ms", ""),
        ("the same cases bare, a fork per case", f"{bare_s:.1f} s", ""),
        ("harness / bare", f"{seen.wall_s / bare_s:.2f}", ""),
        ("wrapper memory early, late", f"{early:.0f}, {late:.0f} MiB", "flat"),
        (
            "CPU time of wrapper, of all",
            f"{seen.looks[-1].cpu_s:.1f}, {seen.tree_cpu_s:.1f} s",
            "",
        ),
    )
    return page.Table(
        "node_tests",
        f"python -m benchmarks.node_tests --jobs {jobs}",
        ("what", "found", "bar"),
        rows,
        (
            f"`-r validate -i zoo --jobs {jobs} --intra_op_threads 1`: a job a core. Two processes a case: one prepares, one checks.",
        ),
    )


def _rss(seen: watching.Watched, part: tuple[float, float]) -> float:
    """Median resident memory over a part of the run, in MiB."""
    low, high = (seen.began_s + seen.wall_s * x for x in part)
    return statistics.median(x.rss_mib for x in seen.between(low, high))


def _outcomes(records: Sequence[Record], bare: Mapping[str, str]) -> page.Table:
    """Outcomes by class, each beside what bare ONNX Runtime made of the same cases."""
    classes: dict[str, Counter[str]] = {}
    for r in records:
        told = classes.setdefault(_class(r.outcome), Counter())
        told[bare.get(r.cell.model.name, "no such case")] += 1
    verdicts = (
        bare_cases.PASSES, bare_cases.DIFFERS, bare_cases.REFUSED, bare_cases.FAILS, bare_cases.UNFED,
    )  # fmt: skip
    others = sorted({v for told in classes.values() for v in told} - set(verdicts))
    columns = (*verdicts, *others)
    rows = [
        (name, str(told.total()), *(str(told[c] or "") for c in columns))
        for name, told in sorted(classes.items(), key=lambda x: -x[1].total())
    ]
    return page.Table(
        "node_outcomes",
        "python -m benchmarks.node_tests",
        ("outcome", "cases", *(f"bare: {c}" for c in columns)),
        tuple(rows),
        (
            "bare: `session.run` on numpy arrays, compared by numpy; refused: no session; unfed: inputs or "
            "outputs of a type that numpy lacks, which the harness feeds as OrtValues.",
        ),
    )


def _class(outcome: Outcome) -> str:
    match outcome:
        case Passed():
            return "Passed"
        case Mismatched():
            return "Mismatched"
        case Raised(stage, kind, _):
            return f"Raised at {stage.value}: {kind}"
        case Skipped(reason):
            return f"Skipped: {reason.split(' is ')[-1][:60]}"
        case other:
            return type(other).__name__


if __name__ == "__main__":
    main()
