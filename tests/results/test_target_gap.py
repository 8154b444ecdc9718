"""The gap between a target and its pair: terms add up; what was not measured has no ms."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perf.planning.plan import expand_builds
from perf.results import build_spread, tables, target_gap
from perf.results.target_gap import ALONE, EP, Term
from perf.schema.cell import Io
from perf.schema.journal import Compared, Placement, PrecisionEvidence
from perf.schema.record import Mismatched, Record
from tests.results import hand_made as made

WRONG = Mismatched("y", "wrong")


def record(
    name: str, ms: float, *, parts: Mapping[str, float] | None = None, placement: Placement | None = None,
    attested: float | None = None, io: Io = Io.HOST, **cell_changes: object,
) -> Record:  # fmt: skip
    """Three launches of 20 like runs, and a check whose outputs are off by ms / 1000."""
    parts_ns = {k: (round(v * made.MS),) * 20 for k, v in (parts or {}).items()}
    timed = made.timed([ms] * 20, io=io.value, parts_ns=parts_ns)
    evidence = None if attested is None else PrecisionEvidence("fp32", attested, None, "s")
    compared = (Compared("s", "y", "", 0, 9, relative_norm=ms / 1000),)
    check = made.check("", {}, placement=placement, attested=evidence, compared=compared)
    cell = made.cell("m", name, io=io, **cell_changes)  # type: ignore[arg-type]
    launches = (check, *(made.measure(i, [], timed=timed) for i in range(3)))
    return Record(cell, made.PASSED, launches)


def builds(name: str, *times_ms: float) -> list[Record]:
    """A record per build of one engine."""
    return [
        record(name, ms, options={"build": str(i)}, variant=f"build={i}")
        for i, ms in enumerate(times_ms, start=1)
    ]


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f))


PARTIAL = Placement(
    "graph_assignment", {EP: 90, made.CUDA: 10}, {}, {EP: 3}, {EP: 900.0, made.CUDA: 250.0},
    {EP: (60, 20, 10)},
)  # fmt: skip
PARTS = {"h2d": 0.2, "compute": 2.7, "d2h": 0.1}


def test_every_term_that_was_measured_and_the_rest_add_up_to_the_gap() -> None:
    ep = record(EP, 4.0, placement=PARTIAL, attested=1.0)
    alone = record(ALONE, 3.0, parts=PARTS, attested=1.0)
    (found,) = target_gap.find_gaps([ep, record(EP, 3.2, io=Io.DEVICE), alone])
    ms = {t.name: t.ms for t in found.terms}
    assert found.total_ms == pytest.approx(1.0)
    assert ms == pytest.approx(
        {"transfers": 0.5, "off TensorRT": 0.25, "precision": 0, "CUDA graph": 0, "rest": 0.25}
    )
    facts = {t.name: t.facts for t in found.terms}
    placed = "3 partitions (nodes: 60, 20, 10), 10 of 100 nodes off TensorRT"
    assert facts["off TensorRT"].startswith(placed)
    assert "0.8 ms in the EP, 0.3 ms alone" in facts["transfers"]
    assert facts["precision"] == "EP 100% fp32, alone 100% fp32"


def test_what_was_not_measured_is_unknown_and_named_in_the_rest() -> None:
    (found,) = target_gap.find_gaps([record(EP, 4.0), record(ALONE, 3.0)])
    assert [t.ms for t in found.terms] == [None, None, None, 0.0, pytest.approx(1.0)]
    assert found.terms[4].facts == "with what was not measured: transfers, off TensorRT, precision"
    alone = record(ALONE, 3.0, options={"trt_cuda_graph_enable": "True"})
    (found,) = target_gap.find_gaps([record(EP, 4.0), alone])
    assert found.terms[3] == Term("CUDA graph", None, "off in the EP, on alone")


def test_all_on_tensorrt_costs_nothing_there() -> None:
    whole = Placement("graph_assignment", {EP: 9}, {}, {EP: 1})
    (found,) = target_gap.find_gaps([record(EP, 4.0, placement=whole), record(ALONE, 3.0)])
    assert found.terms[1] == Term("off TensorRT", 0.0, "1 partition, 0 of 9 nodes off TensorRT")


def test_no_gap_without_both_sides_published_host_to_host() -> None:
    ep, alone = record(EP, 4.0), record(ALONE, 3.0)
    others = (
        replace(alone, outcome=WRONG),
        record(ALONE, 3.0, io=Io.DEVICE),
        record(ALONE, 3.0, inputs_digest="other"),
    )
    for other in ([], *([x] for x in others)):
        assert target_gap.find_gaps([ep, *other]) == ()


@pytest.mark.parametrize(
    ("python", "native"),
    [("CPUExecutionProvider", "native_ort_cpu"), ("torch_script", "native_torch_script")],
)
def test_what_python_adds_is_the_gap_to_the_same_engine_called_from_cpp(
    python: str, native: str
) -> None:
    (found,) = target_gap.find_gaps([record(python, 2.2), record(native, 2.0)])
    (term,) = found.terms
    assert (found.subject, found.base, term.name) == (python, native, "Python")
    assert term.ms == found.total_ms == pytest.approx(0.2)
    assert term.facts == "+10.0% of a run without it, by medians"
    (level,) = target_gap.find_gaps([record(python, 2.0), record(native, 2.0)])
    assert level.terms[0].facts.endswith("not told apart from noise")


def test_a_row_per_term_in_a_table_of_the_runs_folder(tmp_path: Path) -> None:
    ep = record(EP, 4.0, placement=PARTIAL, attested=1.0)
    alone = record(ALONE, 3.0, parts=PARTS, attested=1.0)
    written = tables.write_all([ep, alone], made.host(), tmp_path, tmp_path, "RUN")
    assert tmp_path / "gap.csv" in written
    rows = read_table(tmp_path / "gap.csv")
    terms = ["transfers", "off TensorRT", "precision", "CUDA graph", "rest"]
    assert [r["term"] for r in rows] == terms
    gaps = {
        tuple(r[k] for k in ("model", "ep", "alone", "ep_ms", "alone_ms", "gap_ms")) for r in rows
    }
    assert gaps == {("m", EP, ALONE, "4.0", "3.0", "1.0")}
    assert [r["ms"] for r in rows] == ["", "0.25", "0.0", "0.0", "0.75"]
    assert rows[0]["facts"] == "the EP was not run with io=device"
    assert not (tmp_path / "builds.csv").exists()


def test_builds_of_one_engine_are_a_row_of_a_table_of_their_own(tmp_path: Path) -> None:
    tables.write_all(builds(EP, 4.0, 5.0, 4.4), made.host(), tmp_path, tmp_path, "RUN")
    assert read_table(tmp_path / "builds.csv") == [{
        "model": "m", "ep": EP, "builds": "3", "published": "3", "median_ms": "4.4", "half_range_ms": "0.5",
        "spread_pct": "11.364", "medians_ms": "[4.0,5.0,4.4]", "relative_norms": "[0.004,0.005,0.0044]",
        "outcomes": '["Passed","Passed","Passed"]',
    }]  # fmt: skip
    assert not (tmp_path / "gap.csv").exists()


ms = st.floats(0.01, 1e4)
transfers = st.fixed_dictionaries({"h2d": ms, "d2h": ms})


@settings(max_examples=40, deadline=None)
@given(ms, ms, st.none() | ms, st.none() | transfers, st.booleans())
def test_the_terms_always_add_up(
    ours: float, theirs: float, device: float | None, parts: dict[str, float] | None, placed: bool
) -> None:
    records = [
        record(EP, ours, placement=PARTIAL if placed else None),
        record(ALONE, theirs, parts=parts),
        *([record(EP, device, io=Io.DEVICE)] if device is not None else []),
    ]
    (found,) = target_gap.find_gaps(records)
    total = sum(t.ms for t in found.terms if t.ms is not None)
    assert total == pytest.approx(found.total_ms, abs=1e-6)


def test_builds_are_variants_with_engines_of_their_own() -> None:
    cell = record(ALONE, 1.0).cell
    assert expand_builds(cell, 1) == (cell,)
    three = expand_builds(replace(cell, variant="io=device"), 3)
    assert [c.variant for c in three] == [f"io=device,build={i}" for i in (1, 2, 3)]
    assert [c.options["build"] for c in three] == ["1", "2", "3"]


def test_builds_without_two_latencies_have_no_spread_and_one_build_is_none() -> None:
    first, second, third = builds(ALONE, 3.0, 3.2, 3.1)
    records = [
        replace(first, outcome=WRONG),
        replace(second, outcome=WRONG),
        third,
        *builds(EP, 8.0),
    ]
    (found,) = build_spread.measure_spreads([*records, record(EP, 9.0)])
    assert (found.speed, found.medians_ms) == (None, (3.1,))
    assert found.outcomes == ("Mismatched", "Mismatched", "Passed")
