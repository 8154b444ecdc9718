"""The seven tables: every cell in its place, and what they draw from a cell beyond its long row."""

from dataclasses import replace

import pytest

from perf.results import gains, tables
from perf.results.columns import Value
from perf.results.legacy_tables import legacy_tables
from perf.schema.cell import Environment, TensorFile, TestSet
from perf.schema.record import Launch, Record
from tests.results import hand_made as made

RECORDS = (*made.two_models(), *made.every_outcome())


def rows(name: str, *records: Record) -> list[dict[str, Value]]:
    """A table of these records, as its rows by header."""
    drawn = legacy_tables(tables.tabulate_cells(records, run_id="RUN"), made.host())
    (table,) = (t for t in drawn if t.name == name)
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def success(**changes: object) -> dict[str, Value]:
    """The success table's row of a cell that passed without a launch."""
    (row,) = rows("success", Record(made.cell(**changes), made.PASSED))  # type: ignore[arg-type]
    return row


def test_no_planned_status_is_blank_and_no_row_inherits_from_another() -> None:
    found = {r["Model"]: r for r in rows("status", *RECORDS)}
    for r in RECORDS:
        words = made.EVERY_OUTCOME.get(r.outcome, ("Fail",))
        assert found[r.cell.model.name][gains.column_of(r)] == words[0]
    assert found["model_0"][made.CPU] is None


def test_success_and_fail_hold_every_cell_once() -> None:
    passed, failed = rows("success", *RECORDS), rows("fail", *RECORDS)
    assert sorted(str(r["cell"]) for r in passed + failed) == sorted(r.cell.id for r in RECORDS)
    for r, row in zip([r for r in RECORDS if r.outcome != made.PASSED], failed, strict=True):
        if words := made.EVERY_OUTCOME.get(r.outcome):
            assert (row["error type"], row["exact outcome"], row["stage"]) == words[1:]


def test_two_cells_of_one_model_and_target_both_have_a_column() -> None:
    one = made.benchmarked(made.cell(), (8.0,), {made.CPU: 1})
    two = replace(one, cell=replace(one.cell, digest="0ther000"))
    twice = {made.CPU: "Pass", f"{made.CPU} (0ther000)": "Pass"}
    assert rows("status", one, two) == [{"Model": "squeezenet", **twice}]


def test_wide_tables_hold_each_cell_under_its_target_and_gains_that_can_be_claimed() -> None:
    """A gain's interval stands where there is one, its figure where that does not hold 0."""
    (squeezenet, bert) = rows("latency", *made.two_models())
    of = {k: v for k, v in squeezenet.items() if k.startswith(made.CUDA)}
    assert (of[f"{made.CUDA} mean (ms)"], of[f"{made.CUDA} peak memory usage (MiB)"]) == (
        4.04,
        800.0,
    )
    assert (of[f"{made.CUDA} spread between launches (ms)"], of[f"{made.CUDA} launches"]) == (
        0.05,
        5,
    )
    gain = [squeezenet[f"TRT_CUDA_gain(%){part}"] for part in ("", " low", " high", " pairs")]
    assert gain == [49.52, 47.74, 51.23, 5]
    graphed = f"{made.CUDA}[graph=1]_CPU_gain(%)"
    assert [squeezenet[graphed], squeezenet[f"{graphed} pairs"]] == [None, 5]
    assert bert[f"{made.CUDA} status"] == "Fail"
    assert bert["TRT_CUDA_gain(%) pairs"] is None
    (session, _) = rows("session", *made.two_models())
    times = ("session creation time (s)", "second session creation time (s)", "first run (ms)")
    assert [session[f"{made.CUDA} {t}"] for t in times] == [0.25, 0.22, 12.5]


@pytest.mark.parametrize(
    ("inputs", "batch", "sequence"),
    [
        (((1, (8, 3, 224, 224)),), 8, None),
        (((7, (2, 128)), (7, (2, 128))), 2, 128),
        (((7, (2, 128)), (7, (2, 64))), 2, None),
        (((1, (2, 128)),), 2, None),
        (((7, (1, 128)), (1, ())), None, None),
        ((), None, None),
    ],
)
def test_batch_and_sequence_are_told_where_all_inputs_agree(
    inputs: tuple[tuple[int, tuple[int, ...]], ...], batch: int | None, sequence: int | None
) -> None:
    tensors = tuple(TensorFile(f"i{n}", "", t, shape) for n, (t, shape) in enumerate(inputs))
    found = success(sets=(TestSet("s", tensors),), options={"a": "b"})
    assert (found["batch_size"], found["sequence_length"]) == (batch, sequence)
    assert (found["inputs"], found["enable_cache"]) == (len(inputs) or None, {"a": "b"})


def device(**changes: object) -> Launch:
    """A measure launch of one run, bound in device memory."""
    return made.measure(0, [1.0], timed=made.timed([1.0], io="device"), **changes)


def test_what_was_true_of_a_cell_that_passed() -> None:
    (found,) = rows("success", Record(made.cell(), made.PASSED, (device(),)))
    assert (found["io_binding"], found["fp16"], found["latency_variance"]) == (True, False, None)
    (_, half, _) = rows("success", *made.two_models()[2:5])
    assert (half["fp16"], half["io_binding"], half["latency_variance"]) == (
        True,
        False,
        0.001668804,
    )


def test_the_engine_is_named_by_what_was_loaded() -> None:
    openvino = Environment("ov", "python", {}, {"numpy": "2", "onnxruntime-openvino": "1.24.1"})
    found = success(environment=openvino)
    assert (found["engine"], found["version"]) == ("onnxruntime", "1.24.1")
    trt = Environment("trt", "python", {}, {"tensorrt": "10.9"})
    found = success(target="Standalone_TRT", environment=trt)
    assert (found["engine"], found["version"]) == ("Standalone_TRT", "10.9")
    assert success(target="X", environment=replace(trt, versions={}))["version"] == ""
    alone = made.cell(target="Standalone_TRT", provider="", environment=openvino)
    loaded = device(versions={"numpy": "2", "tensorrt": "10.10"})
    (found,) = rows("success", Record(alone, made.PASSED, (loaded,)))
    assert (found["engine"], found["version"]) == ("tensorrt", "10.10")


def test_trt_columns_are_for_cells_that_asked_for_it() -> None:
    found = rows("metrics", *made.two_models())[:3]
    names = ("ops", "execution_time")
    assert [[r[f"total_{n}_in_trt" if n == "ops" else f"total_trt_{n}"] for r in found] for n in names] == [
        [None, None, 64], [None, None, 6400.0],
    ]  # fmt: skip
    assert [r["ratio_of_ops_in_trt"] for r in found] == [None, None, 0.984615]
    assert [r["ratio_of_execution_time_in_trt"] for r in found] == [None, None, 0.984615]
    assert [r["total_ops_in_ep"] for r in found] == [65, 60, 64]
