"""What failed validation is not benchmarked later into the same folder, until it has passed or is forced."""

from dataclasses import replace
from pathlib import Path

from perf.execution.quarantine import Quarantine, quarantine_key
from perf.results.run_folder import RunFolder
from perf.schema.cell import Tolerance
from perf.schema.record import LaunchKind, Mismatched, NotRun, Passed, Skipped
from tests import models
from tests.asking import ask
from tests.results import hand_made

QUICK = ("-i", "zoo", "-t", "4", "--launches", "2")
CELL = "wrong::CPUExecutionProvider"


def test_a_failed_validation_bans_a_later_benchmark_until_the_verdict_changes(home: Path) -> None:
    models.linear(home / "models" / "wrong", error=1.0)
    only = ("--models", "wrong", "relu")
    first = ask(home, *QUICK, *only, "-r", "validate", "--run_id", "first")
    assert first.cells[CELL]["outcome"] == "Mismatched"
    assert first.status == 0
    later = ask(home, *QUICK, *only, "-r", "benchmark")
    outcome = later.records[CELL].outcome
    assert isinstance(outcome, NotRun)
    assert outcome.reason == (
        "failed validation in run first (Mismatched); --force benchmarks it all the same"
    )
    assert later.cells["relu::CPUExecutionProvider"]["outcome"] == "Passed"
    assert {r["Model"]: r["CPUExecutionProvider"] for r in later.table("status")} == {
        "relu": "Pass",
        "wrong": "NotRun",
    }
    forced = ask(home, *QUICK, *only, "-r", "benchmark", "--force")
    assert forced.cells[CELL]["outcome"] == "Mismatched"  # still checked, and still wrong
    elsewhere = ask(home, *QUICK, *only, "-r", "benchmark", out="elsewhere")
    assert elsewhere.cells[CELL]["outcome"] == "Mismatched"
    wide = ask(home, *QUICK, *only, "-r", "benchmark", "--atol", "2")
    assert wide.cells[CELL]["outcome"] == "Passed"  # other tolerances are another question


def test_the_latest_verdict_wins_within_the_very_run_that_brings_it(home: Path) -> None:
    folder = models.linear(home / "models" / "wrong", error=1.0)
    right = models.linear(home / "right")
    words = (*QUICK, "--models", "wrong")
    assert ask(home, *words, "-r", "validate").cells[CELL]["outcome"] == "Mismatched"
    for number in range(2):  # the reference was wrong, and its data become another question
        source = right / f"test_data_set_{number}" / "output_0.pb"
        (folder / f"test_data_set_{number}" / "output_0.pb").write_bytes(source.read_bytes())
    assert ask(home, *words, "-r", "both").cells[CELL]["outcome"] == "Passed"
    assert ask(home, *words, "-r", "benchmark").cells[CELL]["outcome"] == "Passed"


def test_a_cell_that_failed_is_not_benchmarked_in_both(home: Path) -> None:
    models.linear(home / "models" / "wrong", error=1.0)
    said = ask(home, *QUICK, "-r", "both")
    assert {x.kind for x in said.records[CELL].launches} == {LaunchKind.CHECK}
    assert said.records["relu::CPUExecutionProvider"].outcome == Passed()
    assert "loses" not in said.out


def test_both_validates_anew_whatever_an_earlier_run_said(tmp_path: Path) -> None:
    cell = hand_made.two_models()[0].cell
    Quarantine(tmp_path, "one").record(cell, Mismatched("y", "all"))
    assert Quarantine(tmp_path, "two").reason(cell)
    Quarantine(tmp_path, "two").record(cell, Passed())
    assert Quarantine(tmp_path, "three").reason(cell) == ""
    Quarantine(tmp_path, "three").record(cell, Skipped("no device"))  # nothing was learnt
    assert Quarantine(tmp_path, "four").reason(cell) == ""


def test_a_torn_or_foreign_line_bans_nothing(tmp_path: Path) -> None:
    cell = hand_made.two_models()[0].cell
    bans = Quarantine(tmp_path, "one")
    bans.record(cell, Mismatched("y", "all"))
    path = tmp_path / "verdicts.jsonl"
    whole = path.read_bytes()
    for text in (whole[: len(whole) // 2], b"[]\n", b"3\n", b'{"key": 1}\n', b"\xff\n"):
        path.write_bytes(text)
        assert Quarantine(tmp_path, "two").reason(cell) == ""
    path.write_bytes(b"\xff\n" + whole)
    assert Quarantine(tmp_path, "two").reason(cell)


def test_a_verdict_after_a_torn_line_is_read(tmp_path: Path) -> None:
    cell = hand_made.two_models()[0].cell
    (tmp_path / "verdicts.jsonl").write_bytes(b'{"key": "to')  # a full disk cut it
    Quarantine(tmp_path, "one").record(cell, Mismatched("y", "all"))
    assert Quarantine(tmp_path, "two").reason(cell)


def test_other_tolerances_are_another_question() -> None:
    cell = hand_made.two_models()[0].cell
    assert isinstance(cell.tolerance, Tolerance)
    assert RunFolder(Path("/r"), "one").cell(cell).is_relative_to("/r/one/cells")


def test_a_quarantine_is_keyed_by_model_target_environment_tolerances_and_inputs() -> None:
    c = hand_made.two_models()[0].cell
    key = quarantine_key(c)
    for other in (
        replace(c, model=replace(c.model, sha256="0" * 64)),
        replace(c, target=replace(c.target, label="else")),
        replace(c, variant="v"),
        replace(c, tolerance=replace(c.tolerance, rtol=0.5)),
        replace(c, inputs_digest="else"),
        replace(c, environment=replace(c.environment, versions={"onnxruntime": "2"})),
    ):
        assert quarantine_key(other) != key
    same = replace(c, protocol=replace(c.protocol, launches=99), benchmarked=False)
    assert quarantine_key(same) == key
