"""The long row's figures, from the launches that they are true of, unknown where nobody told them."""

import math
from dataclasses import fields, replace

import pytest

from perf.results.cell_row import CellRow, make_cell_row
from perf.results.columns import column_types, unknown_value
from perf.results.shapes import ShapedRecord
from perf.schema.cell import Protocol, TensorFile, TestSet
from perf.schema.journal import Compared, Created, Note, Placement, PrecisionEvidence, Stage
from perf.schema.record import (
    Crashed,
    Ending,
    FellBack,
    GpuCounters,
    GpuMemory,
    Launch,
    LaunchKind,
    NativeFrame,
    Record,
)
from perf.stats.summary import Interval, PairedGain
from tests.results import hand_made as made

GOOD = made.benchmarked(made.cell(target=made.CUDA), (8.0, 9.0), {made.CUDA: 3, made.CPU: 1})
CHECK = GOOD.launches[0]
UNTOLD = GpuCounters(None, None, None, None, None, None, None, None, None)


def row(record: Record, gain: PairedGain | None = None) -> CellRow:
    """The long row."""
    return make_cell_row(
        ShapedRecord(record, 1, 1), gain, run_id="RUN", label="a label", host="box"
    )


def checked(**changes: object) -> Record:
    """The good record with its check launch changed."""
    return made.with_launches(GOOD, LaunchKind.CHECK, **changes)


def timed(*launches: Launch) -> Record:
    """A passed cell of these launches alone, which was not to be checked."""
    return Record(made.cell(checked=False), made.PASSED, launches)


def counted(index: int, counters: GpuCounters | None, memory: GpuMemory | None = None) -> Launch:
    """A measure launch of 10 runs of 2 ms."""
    return made.measure(index, [2.0] * 10, gpu_counters=counters, gpu_memory=memory)


def test_every_column_is_told_of_a_cell_of_which_all_is_known() -> None:
    """Each column in its place, on one cell: those that the stored runs leave empty by their value."""
    counters = GpuCounters(
        4.0, 4.4, 100.0, 30.0, 300.0, 1500.0, 1200.0, 60.0, 0.1, ("hot",), 2, 50, 1.0, "instant"
    )
    launches = (
        replace(x, gpu_counters=counters, cpu_energy_j=30.0 * len(x.timed.samples_ns),
                gpu_memory=GpuMemory(900.0, 100.0, "process", {"time": 900.0}), created=Created(0.5, True),
                timed=replace(x.timed, parts_ns={"h2d": (made.MS,)}))
        if x.timed
        else replace(x, notes=(Note("k", "v"),), compared=(replace(x.compared[0], reproducible=False,
                reference_noise=1e-6, from_fp64=2e-6, reference_from_fp64=1e-7),), created=Created(0.5, True), placement=Placement(
            "profile", {made.CUDA: 3, made.CPU: 1}, {made.CPU: {"Conv": 1}}, {made.CUDA: 2},
            {made.CUDA: 3.0, made.CPU: 1.0}, {made.CUDA: (2, 1)}, {made.CUDA: {"a": 1.5}},
        ), attested=PrecisionEvidence("fp32", 0.9, 0.95, "inspector", "by the model's types"))
        for x in made.benchmarked(GOOD.cell, (8.0, 8.1, 7.9, 8.2, 8.0) * 3, {}).launches
    )  # fmt: skip
    cell = replace(
        GOOD.cell, options={"a": "b"}, session_config={"c": "d"}, gpu="GPU-1", gpu_name="Board", variant="v",
        protocol=Protocol(affinity=(0, 1), isolation="spawn", seed=7),
    )  # fmt: skip
    known = Record(
        cell,
        Crashed(Stage.CLOSE, "SIGSEGV"),
        (*launches, made.watched(0, [2.0, 2.2, 2.4], 0.8), made.watched(1, [2.3, 2.4, 2.5], 0.8)),
        "",
        1.5,
        (),
        "now",
        (NativeFrame("f", "/x/lib.so"),),
    )
    found = row(known, PairedGain(12.34567, Interval(1.0, 20.0, 0.95), 15))
    wanted = dict(
        inputs_from=("stored",), run_id="RUN", label="a label", host="box", options={"a": "b"}, session_config={"c": "d"},
        cpu_affinity=(0, 1), isolation="spawn", seed=7, samples=300, launches=15, sets=2, warmup=3, min_ms=7.821,
        p90_ms=8.2, p95_ms=8.241, p99_ms=8.282, launch_low_ms=8.0, launch_high_ms=8.1, launch_level=0.96484375,
        floor_us=0.05, parts_p50_ms={"h2d": 1.0}, cpu_gain_pct=12.3457, cpu_gain_low_pct=1.0,
        cpu_gain_high_pct=20.0, cpu_gain_pairs=15, host_tree_peak_mib=160.0, cpu_energy_j_per_run=30.0,
        gpu_peak_mib=800.0, gpu_baseline_mib=100.0, gpu_by_stage_mib={"time": 900.0}, average_w=100.0,
        average_above_idle_w=70.0, power_source="instant", sm_mhz=1500.0, memory_mhz=1200.0, temperature_c=60.0,
        throttled_share=0.1, throttle_reasons=("hot",), gpu_others=2, partition_nodes=(2, 1),
        partition_us={"a": 1.5}, host_time_us=4.0, host_time_on_ep_us=3.0, attested_layer_share=0.9,
        attested_time_share=0.95, attested_source="inspector", precision_regime="by the model's types",
        engine_cached=True, creation_second_s=0.5, first_run_ms=12.5, first_run_second_ms=10.0, notes=("k: v",),
        references={"stored": 1}, unreferenced_outputs=0, timed_outputs_compared=0, native_stack=("f (lib.so)",),
        reference_noise=1e-6, from_fp64=2e-6, reference_from_fp64=1e-7, not_reproducible=("y",),
        device_ms=2.3, device_half_range_ms=0.1, device_launches=2, device_busy_ms=3.1, device_kernels=91,
        device_time_source="cupti", device_launch_p50s_ms=(2.2, 2.4), host_bound_pct=61.4, cuda_graph=False,
        accompanied_launches=0,
    )  # fmt: skip
    assert {k: getattr(found, k) for k in wanted} == wanted
    kinds = column_types(CellRow)
    empty = {
        f.name for f in fields(CellRow) if getattr(found, f.name) == unknown_value(kinds[f.name])
    }
    assert empty == {"instrumented", "cause"}  # it would carry no latency; it did not mismatch


def test_session_creation_is_cold_only_where_it_was_cold_and_alone() -> None:
    assert (row(GOOD).creation_cold_s, row(GOOD).creation_second_s) == (0.25, 0.205)
    for unsure in (False, None):  # without an engine cache the first measure launch's is cold too
        assert row(checked(cold=unsure)).creation_cold_s == 0.2
    assert row(GOOD).engine_cached is None
    built = made.with_launches(checked(cold=False), created=Created(0.1, cached=True))
    assert (row(built).creation_cold_s, row(built).engine_cached) == (None, True)
    rebuilt = replace(
        built, launches=(*built.launches, made.measure(2, [1.0], created=Created(0.1, False)))
    )
    assert row(rebuilt).engine_cached is False


@pytest.mark.parametrize("scope", ["process", "device"])
def test_memory_is_above_its_baseline_and_of_the_launch_that_added_most(scope: str) -> None:
    assert (row(GOOD).host_peak_mib, row(GOOD).host_baseline_mib) == (81.0, 50.0)
    assert row(GOOD).gpu_peak_mib is None
    validated = row(replace(GOOD, launches=(CHECK,)))
    assert (validated.host_peak_mib, validated.host_tree_peak_mib) == (70.0, 150.0)
    low = GpuMemory(900.0, 800.0, scope, {"time": 900.0})
    high = GpuMemory(700.0, 100.0, scope, {"time": 700.0})
    found = row(timed(counted(0, None, low), counted(1, None, high)))
    assert (found.gpu_peak_mib, found.gpu_baseline_mib, found.gpu_scope) == (600.0, 100.0, scope)
    assert found.gpu_by_stage_mib == {"time": 700.0}


def test_energy_is_all_joules_over_the_runs_of_the_launches_that_know_them() -> None:
    a = replace(UNTOLD, energy_counter_j=3.0, energy_integrated_j=4.0)
    b = replace(UNTOLD, energy_counter_j=5.0, energy_integrated_j=6.0)
    found = row(timed(counted(0, a), counted(1, b)))
    assert (found.energy_counter_j_per_run, found.energy_integrated_j_per_run) == (0.4, 0.5)
    assert found.energy_disagreement_pct == 25.0
    alone = row(timed(counted(0, replace(a, energy_integrated_j=None)), counted(1, UNTOLD)))
    assert (alone.energy_counter_j_per_run, alone.energy_disagreement_pct) == (0.3, None)


def test_power_is_weighted_by_time_and_idle_is_subtracted() -> None:
    a = replace(UNTOLD, average_w=100.0, idle_w=20.0, window_s=3.0, board_limit_w=250.0)
    b = replace(UNTOLD, average_w=200.0, idle_w=20.0, window_s=1.0, board_limit_w=250.0)
    found = row(timed(counted(0, a), counted(1, b)))
    assert (found.average_w, found.average_above_idle_w) == (125.0, 105.0)
    assert (found.runs_per_s_per_w, found.runs_per_s_per_board_w) == (500 / 125, 2.0)


@pytest.mark.parametrize("launches", [(), (counted(0, None),), (counted(0, UNTOLD),)])
def test_unknown_counters_are_none_and_never_0(launches: tuple[Launch, ...]) -> None:
    found, names = row(timed(*launches)), [f.name for f in fields(CellRow)]
    counters = names[names.index("cpu_energy_j_per_run") : names.index("placement_source")]
    told = {name for name in counters if getattr(found, name) not in (None, "", ())}
    assert told == ({"gpu_others"} if any(x.gpu_counters for x in launches) else set())


def test_shares_have_one_denominator() -> None:
    found = row(GOOD)
    assert (found.total_ops, found.ops_on_ep, found.ratio_of_ops_on_ep) == (4, 3, 0.75)
    assert (found.ratio_of_time_on_ep, found.ops_elsewhere) == (0.75, {f"{made.CPU}/Conv": 1})
    folded = row(checked(placement=Placement("graph_assignment", {}, {}, {})))
    assert (folded.total_ops, folded.ratio_of_ops_on_ep) == (0, None)


def test_placement_that_nobody_told_is_unproven_once_a_session_was_made() -> None:
    silent = checked(placement=None)
    assert (row(silent).placement_source, row(silent).total_ops) == ("unproven", None)
    assert row(made.failed(GOOD.cell, Crashed(Stage.LOAD, "SIGILL"))).placement_source == ""
    assert row(replace(silent, cell=replace(GOOD.cell, provider=""))).placement_source == ""


def test_a_cell_that_fell_back_tells_its_placement_and_no_latency() -> None:
    found = row(replace(GOOD, outcome=FellBack("none of 4")))
    assert (found.total_ops, found.p50_ms, found.launches) == (4, None, None)


def test_the_worst_output_is_the_wrong_one_and_what_is_no_number_is_the_largest() -> None:
    fine = Compared("set_0", "a", "", 0, 4, 5.0, 0.1, 0.2, 0.9, (1,))
    wrong = Compared("set_1", "b", "", 2, 4, 1.0, 0.5, 0.1, 0.99, (0, 2))
    found = row(checked(compared=(fine, wrong)))
    assert (found.compared_outputs, found.worst_output, found.worst_index) == (
        2,
        "set_1/b",
        (0, 2),
    )
    assert (found.max_abs, found.max_rel, found.cosine, found.mismatched_pct) == (
        5.0,
        0.5,
        0.9,
        50.0,
    )
    nan = replace(wrong, max_abs=math.nan, cosine=math.nan)
    for compared in ((fine, nan), (nan, fine)):
        found = row(checked(compared=compared))
        assert (str(found.max_abs), str(found.cosine)) == ("nan", "nan")


def test_the_log_is_that_of_the_launch_that_decided() -> None:
    crash = Crashed(Stage.TIME, "SIGSEGV")
    launches = (CHECK, replace(GOOD.launches[1], outcome=crash, ending=Ending(None, 11)))
    found = row(replace(GOOD, outcome=crash, launches=(*launches, GOOD.launches[2])))
    folder = f"{made.RUN_ID}/cells/squeezenet/{made.CUDA}/{GOOD.cell.digest}"
    assert found.log == f"{folder}/measure_0/output.log"


def test_an_output_counts_once_whatever_runs_it_was_compared_in_and_not_if_it_is_empty() -> None:
    y, empty = CHECK.compared[0], Compared("set_0", "boxes", "", 0, 0, reference="made")
    z = replace(y, output="z", reference="CPUExecutionProvider unoptimised")
    later = tuple(replace(c, timed_run=run) for run in ("first", "last") for c in (y, z, empty))
    both = made.with_launches(checked(compared=(y, z, empty), unreferenced=3), compared=later)
    found = row(
        replace(
            both,
            launches=(replace(CHECK, compared=(y, z, empty), unreferenced=3), *both.launches[1:]),
        )
    )
    assert (found.compared_outputs, found.timed_outputs_compared) == (2, 8)  # of two launches
    assert found.references == {"stored": 1, "CPUExecutionProvider unoptimised": 1}
    assert (found.unreferenced_outputs, found.marks) == (3, ("3 outputs unchecked",))


def test_what_was_seen_stands_over_what_was_planned() -> None:
    device = made.measure(0, [1.0], timed=made.timed([1.0], io="device"))
    assert row(timed(device)).io == "device"
    assert row(replace(GOOD, cell=replace(GOOD.cell, tf32=True))).math_mode == "tf32"
    loaded = row(checked(versions={"onnxruntime": "1.99", "cudnn": "9"}))
    assert loaded.versions == {"onnxruntime": "1.99", "cudnn": "9"}


def test_shapes_notes_and_parts_are_told_once() -> None:
    sets = (TestSet("s", (TensorFile("x", "", 1, (2, 3)), TensorFile("n", "", 7, ()))),)
    parts = {"h2d": (made.MS, 3 * made.MS), "compute": (5 * made.MS,)}
    launch = made.measure(
        0, [9.0], timed=made.timed([9.0], parts_ns=parts), notes=(Note("k", "v"),) * 2
    )
    found = row(replace(timed(launch), cell=replace(GOOD.cell, sets=sets, checked=False)))
    assert (found.input_shapes, found.notes) == ({"x": "2x3", "n": "scalar"}, ("k: v",))
    assert found.parts_p50_ms == {"h2d": 2.0, "compute": 5.0}


def test_how_long_the_device_waits_is_told_beside_a_latency_alone() -> None:
    """Launches of 8 and 9 ms, of which the device works 4.25 ms, or all."""
    waiting = replace(GOOD, launches=(*GOOD.launches, made.watched(0, [4.0], 0.25)))
    found = row(waiting)
    assert (found.device_ms, found.device_busy_ms) == (4.0, 4.25)
    assert found.host_bound_pct == pytest.approx(100 * (1 - 4.25 / (found.p50_ms or 0)), abs=0.05)
    assert f"host-bound {found.host_bound_pct:.0f} %" in found.marks
    busy = row(replace(GOOD, launches=(*GOOD.launches, made.watched(0, [9.5]))))
    assert (busy.host_bound_pct, busy.marks) == (0.0, row(GOOD).marks)
    failed = row(replace(waiting, outcome=FellBack("none of 4 nodes")))
    assert (failed.device_ms, failed.host_bound_pct) == (None, None)
