"""Tables of framework benchmarks from records made by hand: units, memory that ran out, the best, the knee."""

import re
from dataclasses import replace

import pytest

from perf.report import framework_tables
from perf.report.framework_tables import Row, find_knee
from perf.results.latency import summarise_latency
from perf.schema.cell import TensorFile, TestSet
from perf.schema.journal import Stage
from perf.schema.record import OutOfMemory, Record, Skipped
from tests.results import hand_made


def timed(batch: int, ms: float, *, name: str = "") -> Record:
    record = next(r for r in hand_made.two_models() if summarise_latency(r))
    given = TestSet(
        "random_0",
        (TensorFile("x", "/x", 1, (batch, 8)),),
        (TensorFile("y", "/y", 1, (batch, 4)),),
    )
    launches = tuple(
        replace(
            x, timed=replace(x.timed, samples_ns=(int(ms * 1e6),) * 20, begun_s=0.0, ended_s=0.0)
        )
        if x.timed
        else x
        for x in record.launches
    )
    target = replace(record.cell.target, name=name or record.cell.target.name)
    return replace(
        record,
        cell=replace(record.cell, batch=batch, sets=(given,), target=target),
        launches=launches,
    )


def cells(text: str) -> list[list[str]]:
    lines = [x for x in text.splitlines() if x.startswith("|") and not re.match(r"\|:-", x)]
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines]


def test_items_of_a_batch_count_and_the_old_unit_is_seconds() -> None:
    row = Row("net", "Torch", "fp32", timed(4, 2.0))
    ours = cells(framework_tables.format_backends([row], device="@here"))[1]
    assert ours[3:7] == ["2000", "2000", "2", "2"]
    theirs = cells(framework_tables.format_backends([row], device="@here", in_seconds=True))[1]
    assert theirs[5] == "0.002"


def test_the_headings_are_those_of_the_documents() -> None:
    row = Row("net", "Torch", "fp32", timed(1, 2.0))
    assert cells(framework_tables.format_backends([row], device=""))[0] == [
        "Model", "Backend", "precision", "Median(FPS)", "Mean(FPS)", "Median-Latency(ms)",
        "Mean-Latency(ms)", "99th_p", "std_dev",
    ]  # fmt: skip
    assert cells(framework_tables.format_detection([row], how="traced", device=""))[0] == [
        "Model(traced)", "Backend", "precision", "Median(FPS)", "Mean(FPS)", "Median(ms)", "Mean(ms)",
        "99th_p", "std_dev",
    ]  # fmt: skip


def test_a_batch_that_ran_out_of_memory_says_oom_and_the_best_is_bold() -> None:
    small, large = timed(1, 2.0), timed(4, 4.0)
    full = replace(timed(64, 1.0), outcome=OutOfMemory("device", Stage.RUN))
    faster = replace(timed(4, 2.0))
    rows = [
        Row("net", "Torch", "fp32", small), Row("net", "Torch", "fp32", large),
        Row("net", "Torch", "fp32", full), Row("net", "Torch", "fp16", faster),
    ]  # fmt: skip
    told = framework_tables.format_batches(rows, heading="Board - with 80GB RAM")
    body = {row[1]: row[2:] for row in cells(told)[1:]}
    assert body["1"][:2] == ["***500.00***", "-"]
    assert body["4"][:3] == ["1000.00", "***2000.00***", "2.00"]
    assert body["64"][:3] == ["OOM", "-", "-"]
    assert "knee" in told


@pytest.mark.parametrize(
    ("curve", "says"),
    [
        ([(1, 100.0), (4, 390.0), (32, 400.0)], "knee at 4"),
        ([(1, 100.0), (4, 400.0)], "no knee"),
    ],
)
def test_the_knee_is_the_smallest_batch_near_the_best(
    curve: list[tuple[int, float]], says: str
) -> None:
    assert says in find_knee(curve)


def test_why_a_row_has_no_figures_stands_below_the_table() -> None:
    skipped = replace(timed(1, 1.0), outcome=Skipped("no GPU here"))
    rows = [
        Row("net", "TensorRT", "fp32", skipped),
        Row("net", "Torch", "int8", None, "not measured"),
    ]
    told = framework_tables.format_backends(rows, device="@here")
    assert [r[3] for r in cells(told)[1:]] == ["Skipped", "declined"]
    assert "- net TensorRT fp32: Skipped: no GPU here\n- net Torch int8: not measured" in told


def test_a_precision_row_has_mean_and_deviation_and_an_older_figure() -> None:
    rows = [Row("fp32", "torch", "fp32+fp16", timed(1, 2.0))]
    told = framework_tables.format_precisions(
        rows, title="T", second="amp_dtype", previous={("fp32", "fp32+fp16"): 3.5}
    )
    assert cells(told)[1][:3] == ["fp32", "fp32+fp16", "2.000 ± 0.000"]
    assert cells(told)[1][4] == "3.500"


def test_a_model_with_python_and_without_has_what_python_adds() -> None:
    python, native = (
        Row("fp32", name, "fp32", timed(1, ms, name=name))
        for name, ms in (("torch_script", 2.5), ("native_torch_script", 2.0))
    )
    told = framework_tables.format_runtimes(python, native)
    head, with_python, alone = cells(told)
    assert head[3] == "Python's overhead (ms)"
    assert with_python[:3] == ["Python", "2.500 ± 0.000", "2.500"]
    assert with_python[3].startswith("0.500 (+25.0% of a run without it, by medians")
    assert alone[:4] == ["C++", "2.000 ± 0.000", "2.000", "-"]
    skipped = Row("fp32", "native_torch_script", "fp32", None, "not built")
    without = cells(framework_tables.format_runtimes(python, skipped))
    assert [row[3] for row in without[1:3]] == ["-", "-"]
    assert "not built" in framework_tables.format_runtimes(python, skipped)
