"""The exit status of a run that reached its end, and a row for every cell that was planned."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from perf.execution import records as run_records
from perf.execution import run_lifecycle
from perf.planning.targets import Planned
from perf.request.options import parse
from perf.schema.record import (
    ArtefactFailed,
    EnvironmentFailed,
    FellBack,
    Mismatched,
    NotRun,
    Outcome,
    Passed,
    Record,
    Skipped,
)
from tests.results import hand_made

RAN = hand_made.two_models()[0].launches


def records(*given: tuple[str, Outcome]) -> list[Record]:
    """Records on targets; what was skipped, not run or never started has no launch."""
    base = hand_made.two_models()[0]
    out = []
    for number, (label, outcome) in enumerate(given):
        target = replace(base.cell.target, label=label)
        cell = replace(base.cell, id=f"m{number}::{label}", target=target)
        none = isinstance(outcome, (Skipped, NotRun, EnvironmentFailed, ArtefactFailed))
        out.append(replace(base, cell=cell, outcome=outcome, launches=() if none else RAN))
    return out


WRONG, GONE, BANNED = Mismatched("y", "all"), Skipped("no device"), NotRun("banned")
BROKEN = ArtefactFailed("inputs: m.onnx: truncated")


@pytest.mark.parametrize(
    ("words", "given", "status"),
    [
        ([], [("A", Passed()), ("B", Passed())], 0),
        ([], [("A", WRONG), ("B", FellBack("all on the CPU"))], 0),
        ([], [("A", Passed()), ("B", GONE)], 0),
        ([], [("A", GONE), ("B", EnvironmentFailed("no python"))], 2),
        (["-e", "A", "B"], [("A", Passed()), ("B", GONE)], 1),
        (["-e", "A", "B"], [("A", Passed()), ("B", EnvironmentFailed("no python"))], 1),
        (["-e", "A"], [("A", Passed()), ("A", GONE)], 0),
        (["-e", "A"], [("A", WRONG)], 0),
        (["-e", "A"], [("A", BROKEN)], 0),
        ([], [("A", BROKEN)], 0),
        (["-e", "A"], [("A", BANNED)], 0),
        (["-e", "A"], [("A", GONE)], 1),
        (["--strict"], [("A", Passed())], 0),
        (["--strict"], [("A", WRONG)], 1),
        (["--strict"], [("A", Passed()), ("B", GONE)], 1),
        (["--strict"], [("A", Passed()), ("A", BANNED)], 1),
    ],
)
def test_the_exit_status(
    words: list[str], given: Sequence[tuple[str, Outcome]], status: int
) -> None:
    made = records(*given)
    unable = {r.cell.id for r in made if r.outcome == GONE}
    assert run_lifecycle.exit_status(made, parse(words), unable) == status


def test_inputs_that_cannot_be_fed_say_nothing_of_the_target() -> None:
    declined = Skipped("inputs: give --shape")
    assert (
        run_lifecycle.exit_status(records(("A", declined), ("A", Passed())), parse(["-e", "A"]))
        == 0
    )
    assert run_lifecycle.exit_status(records(("A", declined)), parse(["-e", "A"])) == 2


def test_every_planned_cell_has_a_record_in_the_plans_order() -> None:
    made = records(("A", Passed()), ("B", Passed()), ("C", Passed()))
    planned = [Planned(r.cell, None) for r in made]  # type: ignore[arg-type]
    done = {made[2].cell.id: made[2], made[0].cell.id: made[0]}
    whole = run_records.records_for_all_cells(planned, done, "one", "interrupted")
    assert [r.cell.id for r in whole] == [r.cell.id for r in made]
    assert [r.outcome for r in whole] == [Passed(), NotRun("interrupted"), Passed()]
    assert whole[1].run_id == "one"
