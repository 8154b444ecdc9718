"""The long row's figures, from the launches that they are true of."""

import math
from dataclasses import replace

import pytest

from perf.results import cell_row
from perf.results.columns import CellRow
from perf.schema.cell import TensorFile, TestSet
from perf.schema.journal import Compared, Created, Note, Placement, Stage
from perf.schema.record import Crashed, Ending, FellBack, Launch, Record
from tests.results import hand_made as made

GOOD = made.benchmarked(made.cell(target=made.CUDA), (8.0, 9.0), {made.CUDA: 3, made.CPU: 1})
CHECK = GOOD.launches[0]


def row(record: Record) -> CellRow:
    """The long row."""
    return cell_row.make_cell_row(record, None, run_id="RUN")


def checked(**changes: object) -> Record:
    """The good record with its check launch changed."""
    check = replace(CHECK, **changes)  # type: ignore[arg-type]
    return replace(GOOD, launches=(check, *GOOD.launches[1:]))


def test_session_creation_is_cold_only_where_it_was_cold_and_alone() -> None:
    assert row(GOOD).creation_cold_s == 0.25
    assert row(GOOD).creation_second_s == pytest.approx(0.205)
    builds = replace(GOOD, launches=tuple(_cached(x) for x in checked(cold=False).launches))
    assert row(builds).creation_cold_s is None


def test_without_an_engine_cache_the_first_measure_launch_is_cold_too() -> None:
    assert row(checked(cold=False)).creation_cold_s == GOOD.launches[1].created.seconds  # type: ignore[union-attr]
    assert row(checked(cold=None)).creation_cold_s == GOOD.launches[1].created.seconds  # type: ignore[union-attr]


def _cached(launch: Launch) -> Launch:
    return replace(
        launch, created=replace(launch.created, cached=True) if launch.created else None
    )


def test_an_engine_is_cached_where_every_launch_that_builds_one_loaded_it() -> None:
    assert row(GOOD).engine_cached is None
    launches = [replace(x, created=Created(0.1, cached=True)) for x in GOOD.launches[1:]]
    assert row(replace(GOOD, launches=tuple(launches))).engine_cached is True
    launches[0] = replace(launches[0], created=Created(0.1, cached=False))
    assert row(replace(GOOD, launches=tuple(launches))).engine_cached is False


def test_memory_is_above_its_baseline_and_of_one_launch() -> None:
    found = row(GOOD)
    assert (found.host_peak_mib, found.host_baseline_mib) == (81.0, 50.0)
    assert found.gpu_peak_mib is None
    validated = row(replace(GOOD, launches=(CHECK,)))
    assert (validated.host_peak_mib, validated.host_tree_peak_mib) == (70.0, 150.0)


def test_shares_have_one_denominator() -> None:
    found = row(GOOD)
    assert (found.total_ops, found.ops_on_ep, found.ratio_of_ops_on_ep) == (4, 3, 0.75)
    assert found.ratio_of_time_on_ep == 0.75
    assert found.ops_elsewhere == {f"{made.CPU}/Conv": 1}


def test_a_graph_folded_to_nothing_has_an_empty_share() -> None:
    empty = Placement("graph_assignment", {}, {}, {})
    found = row(checked(placement=empty))
    assert (found.total_ops, found.ratio_of_ops_on_ep) == (0, None)


def test_placement_that_nobody_told_is_unproven_once_a_session_was_made() -> None:
    assert row(checked(placement=None)).placement_source == "unproven"
    assert row(checked(placement=None)).total_ops is None
    assert row(made.failed(GOOD.cell, Crashed(Stage.LOAD, "SIGILL"))).placement_source == ""
    cannot = replace(GOOD.cell, provider="")
    assert row(replace(checked(placement=None), cell=cannot)).placement_source == ""


def test_a_cell_that_fell_back_tells_its_placement_and_no_latency() -> None:
    found = row(replace(GOOD, outcome=FellBack("none of 4")))
    assert (found.total_ops, found.p50_ms, found.launches) == (4, None, None)


def test_the_worst_output_is_the_wrong_one() -> None:
    fine = Compared("set_0", "a", "", 0, 4, 5.0, 0.1, 0.2, 0.9, (1,))
    wrong = Compared("set_1", "b", "", 2, 4, 1.0, 0.5, 0.1, 0.99, (0, 2))
    found = row(checked(compared=(fine, wrong)))
    assert (found.compared_outputs, found.worst_output, found.worst_index) == (
        2,
        "set_1/b",
        (0, 2),
    )
    assert (found.max_abs, found.max_rel, found.cosine) == (5.0, 0.5, 0.9)
    assert found.mismatched_pct == 50.0


def test_a_difference_that_is_no_number_is_the_largest() -> None:
    nan = Compared("set_0", "a", "NaN positions differ", 4, 4, math.nan, cosine=math.nan)
    number = Compared("set_0", "b", "", 0, 4, 1.0, cosine=1.0)
    found = row(checked(compared=(number, nan)))
    assert found.max_abs is not None
    assert math.isnan(found.max_abs)
    assert found.cosine is not None
    assert math.isnan(found.cosine)


def test_the_log_is_that_of_the_launch_that_decided() -> None:
    crash = Crashed(Stage.TIME, "SIGSEGV")
    launches = (CHECK, replace(GOOD.launches[1], outcome=crash, ending=Ending(None, 11)))
    found = row(replace(GOOD, outcome=crash, launches=(*launches, GOOD.launches[2])))
    assert found.log == (
        f"{made.RUN_ID}/cells/squeezenet/{made.CUDA}/{GOOD.cell.digest}/measure_0/output.log"
    )


def test_io_is_as_timed_and_math_mode_as_allowed() -> None:
    device = made.measure(0, [1.0], timed=made.timed([1.0], io="device"))
    assert row(replace(GOOD, launches=(device,))).io == "device"
    assert row(replace(GOOD, cell=replace(GOOD.cell, tf32=True))).math_mode == "tf32"


def test_versions_are_as_loaded_over_as_installed() -> None:
    found = row(checked(versions={"onnxruntime": "1.99", "cudnn": "9"}))
    assert found.versions == {"onnxruntime": "1.99", "cudnn": "9"}


def test_shapes_and_notes_are_told_once() -> None:
    sets = (TestSet("s", (TensorFile("x", "", 1, (2, 3)), TensorFile("n", "", 7, ()))),)
    found = row(replace(checked(notes=(Note("k", "v"),) * 2), cell=replace(GOOD.cell, sets=sets)))
    assert found.input_shapes == {"x": "2x3", "n": "scalar"}
    assert found.notes == ("k: v",)


def test_parts_that_are_timed_apart_are_told_apart() -> None:
    parts = {"h2d": (made.MS, 3 * made.MS), "compute": (5 * made.MS,)}
    launch = made.measure(0, [9.0], timed=made.timed([9.0], parts_ns=parts))
    assert row(Record(made.cell(), made.PASSED, (launch,))).parts_p50_ms == {
        "h2d": 2.0,
        "compute": 5.0,
    }
