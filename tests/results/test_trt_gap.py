"""The gap between the TensorRT EP and TensorRT alone: terms add up; what was not measured has no ms."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perf.planning.plan import expand_builds
from perf.results import build_spread, tables, trt_gap
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
from perf.schema.journal import Compared, Placement, PrecisionEvidence, Timed
from perf.schema.record import Ending, Launch, LaunchKind, Mismatched, Passed, Record
from tests.results import hand_made

MS = 1_000_000


def record(
    name: str, ms: float, *, io: Io = Io.HOST, parts: Mapping[str, float] | None = None,
    placement: Placement | None = None, attested: float | None = None, launches: int = 3,
    options: Mapping[str, str] | None = None, variant: str = "",
) -> Record:  # fmt: skip
    cell = Cell(
        "m::t", "d", ModelFile("m", "m.onnx", "0", "."), Target(name, Precision.FP32, "e", name), variant,
        "", Environment("e", "python"), dict(options or {}), {}, "all", io, False, Protocol(),
        Tolerance(1e-3, 1e-5), "i",
    )  # fmt: skip
    timed = Timed(
        (round(ms * MS),) * 20, io.value, 1, 3, 0, None, None, True,
        parts_ns={k: (round(v * MS),) * 20 for k, v in (parts or {}).items()},
    )  # fmt: skip
    check = Launch(
        "check", LaunchKind.CHECK, Passed(), Ending(0, None), placement=placement,
        attested=None if attested is None else PrecisionEvidence("fp32", attested, None, "s"),
        compared=(Compared("s", "y", "", 0, 9, relative_norm=ms / 1000),),
    )  # fmt: skip
    measured = tuple(
        Launch(f"measure_{i}", LaunchKind.MEASURE, Passed(), Ending(0, None), timed=timed, round=i)
        for i in range(launches)
    )
    return Record(cell, Passed(), (check, *measured))


PARTIAL = Placement(
    "graph_assignment", {trt_gap.EP: 90, "CUDAExecutionProvider": 10}, {}, {trt_gap.EP: 3},
    {trt_gap.EP: 900.0, "CUDAExecutionProvider": 250.0}, {trt_gap.EP: (60, 20, 10)},
)  # fmt: skip
PARTS = {"h2d": 0.2, "compute": 2.7, "d2h": 0.1}


def test_every_term_that_was_measured_and_the_rest_add_up_to_the_gap() -> None:
    ep = record(trt_gap.EP, 4.0, placement=PARTIAL, attested=1.0)
    on_device = record(trt_gap.EP, 3.2, io=Io.DEVICE)
    alone = record(trt_gap.ALONE, 3.0, parts=PARTS, attested=1.0)
    (found,) = trt_gap.find_gaps([ep, on_device, alone])
    ms = {t.name: t.ms for t in found.terms}
    assert found.total_ms == pytest.approx(1.0)
    assert ms["transfers"] == pytest.approx(0.8 - 0.3)
    assert ms["off TensorRT"] == pytest.approx(0.25)
    assert (ms["precision"], ms["CUDA graph"]) == (0.0, 0.0)
    assert ms["rest"] == pytest.approx(0.25)
    facts = {t.name: t.facts for t in found.terms}
    assert facts["off TensorRT"].startswith(
        "3 partitions (nodes: 60, 20, 10), 10 of 100 nodes off TensorRT"
    )
    assert "0.8 ms in the EP, 0.3 ms alone" in facts["transfers"]
    assert facts["precision"] == "EP 100% fp32, alone 100% fp32"


def test_what_was_not_measured_is_unknown_and_named_in_the_rest() -> None:
    (found,) = trt_gap.find_gaps([record(trt_gap.EP, 4.0), record(trt_gap.ALONE, 3.0)])
    assert [t.ms for t in found.terms[:3]] == [None, None, None]
    assert found.terms[3].ms == 0.0  # neither uses a CUDA graph, by their options
    assert found.terms[4].ms == pytest.approx(1.0)
    assert found.terms[4].facts == "with what was not measured: transfers, off TensorRT, precision"


def test_a_cuda_graph_on_one_side_only_is_a_fact_without_a_number() -> None:
    alone = record(trt_gap.ALONE, 3.0, options={"trt_cuda_graph_enable": "True"})
    (found,) = trt_gap.find_gaps([record(trt_gap.EP, 4.0), alone])
    assert found.terms[3] == trt_gap.Term("CUDA graph", None, "off in the EP, on alone")


def test_all_on_tensorrt_costs_nothing_there() -> None:
    whole = Placement("graph_assignment", {trt_gap.EP: 9}, {}, {trt_gap.EP: 1})
    (found,) = trt_gap.find_gaps(
        [record(trt_gap.EP, 4.0, placement=whole), record(trt_gap.ALONE, 3.0)]
    )
    assert found.terms[1] == trt_gap.Term(
        "off TensorRT", 0.0, "1 partition, 0 of 9 nodes off TensorRT"
    )


def test_no_gap_without_both_sides_published_host_to_host() -> None:
    ep, alone = record(trt_gap.EP, 4.0), record(trt_gap.ALONE, 3.0)
    assert trt_gap.find_gaps([ep]) == ()
    assert trt_gap.find_gaps([ep, replace(alone, outcome=Mismatched("y", "wrong"))]) == ()
    assert trt_gap.find_gaps([ep, record(trt_gap.ALONE, 3.0, io=Io.DEVICE)]) == ()
    assert (
        trt_gap.find_gaps([ep, replace(alone, cell=replace(alone.cell, inputs_digest="other"))])
        == ()
    )


def test_a_row_per_term_in_a_table_of_the_runs_folder(tmp_path: Path) -> None:
    ep = record(trt_gap.EP, 4.0, placement=PARTIAL, attested=1.0)
    alone = record(trt_gap.ALONE, 3.0, parts=PARTS, attested=1.0)
    written = tables.write_all([ep, alone], hand_made.host(), tmp_path, tmp_path, "RUN")
    assert tmp_path / "gap.csv" in written
    with (tmp_path / "gap.csv").open(encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f))
    terms = ["transfers", "off TensorRT", "precision", "CUDA graph", "rest"]
    assert [r["term"] for r in rows] == terms
    assert {(r["model"], r["ep"], r["alone"], r["gap_ms"]) for r in rows} == {
        ("m", trt_gap.EP, trt_gap.ALONE, "1.0")
    }
    assert [r["ms"] for r in rows] == ["", "0.25", "0.0", "0.0", "0.75"]
    assert rows[0]["facts"] == "the EP was not run with io=device"
    assert not (tmp_path / "builds.csv").exists()


def test_builds_of_one_engine_are_a_row_of_a_table_of_their_own(tmp_path: Path) -> None:
    made = [
        record(trt_gap.EP, ms, options={"build": str(i)}, variant=f"build={i}")
        for i, ms in ((1, 4.0), (2, 5.0), (3, 4.4))
    ]
    tables.write_all(made, hand_made.host(), tmp_path, tmp_path, "RUN")
    with (tmp_path / "builds.csv").open(encoding="utf-8", newline="") as f:
        (row,) = csv.DictReader(f)
    assert (row["model"], row["ep"], row["builds"], row["published"]) == (
        "m",
        trt_gap.EP,
        "3",
        "3",
    )
    assert row["medians_ms"] == "[4.0,5.0,4.4]"
    assert (row["median_ms"], row["half_range_ms"], row["spread_pct"]) == ("4.4", "0.5", "11.364")
    assert row["relative_norms"] == "[0.004,0.005,0.0044]"
    assert not (tmp_path / "gap.csv").exists()


ms = st.floats(0.01, 1e4)


@settings(max_examples=40, deadline=None)
@given(
    ms,
    ms,
    st.none() | ms,
    st.none() | st.fixed_dictionaries({"h2d": ms, "d2h": ms}),
    st.booleans(),
)
def test_the_terms_always_add_up(
    ours: float, theirs: float, device: float | None, parts: dict[str, float] | None, placed: bool
) -> None:
    records = [
        record(trt_gap.EP, ours, placement=PARTIAL if placed else None),
        record(trt_gap.ALONE, theirs, parts=parts),
        *([record(trt_gap.EP, device, io=Io.DEVICE)] if device is not None else []),
    ]
    (found,) = trt_gap.find_gaps(records)
    assert sum(t.ms for t in found.terms if t.ms is not None) == pytest.approx(
        found.total_ms, abs=1e-6
    )


def test_builds_are_variants_with_engines_of_their_own() -> None:
    cell = record(trt_gap.ALONE, 1.0).cell
    assert expand_builds(cell, 1) == (cell,)
    made = expand_builds(replace(cell, variant="io=device"), 3)
    assert [c.variant for c in made] == [f"io=device,build={i}" for i in (1, 2, 3)]
    assert [c.options["build"] for c in made] == ["1", "2", "3"]


def test_between_build_spread_of_speed_and_of_outputs() -> None:
    times = (3.0, 3.2, 3.1)
    built = [
        record(trt_gap.ALONE, t, options={"build": str(i)}, variant=f"build={i}")
        for i, t in enumerate(times)
    ]
    others = [
        record(trt_gap.EP, 9.0),
        record(trt_gap.EP, 8.0, options={"build": "1"}, variant="build=1"),
    ]
    (found,) = build_spread.measure_spreads([*built, *others])
    assert found.medians_ms == times
    assert found.speed is not None
    assert found.speed.half_range == pytest.approx(0.1)
    assert found.relative_norms == pytest.approx((0.003, 0.0032, 0.0031))
    assert found.outcomes == ("Passed",) * 3
    failed = [replace(r, outcome=Mismatched("y", "wrong")) for r in built[:2]]
    (found,) = build_spread.measure_spreads([*failed, built[2]])
    assert found.speed is None
    assert found.outcomes.count("Mismatched") == 2
