"""Suspects asked again: by a real interleaved run where that can be, and by its answer put in their place."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from comparison import confirm
from comparison.cell_summary import Metric
from comparison.cli import Question
from comparison.confirm import settle_suspect
from comparison.rerun import repeat_flags
from comparison.verdict import Change, Faster, Line, Same, Slower, Unclear, Verdict, verdict_name
from perf.results.run_folder import RunFolder, read_records
from perf.schema import record
from perf.schema.journal import Timed
from tests.asking import ask
from tests.comparison.cases import BASE, scaled
from tests.comparison.runs import compare, write_two


def change(ratio: float) -> Change:
    return Change(
        ratio, ratio * 0.99, ratio * 1.01, 0.03, None, "paired", 5.0, 5.0 * ratio, (9, 9)
    )


@pytest.mark.parametrize(
    ("answer", "kind", "suspect", "told"),
    [
        (Slower(change(1.3), False, "14 pairs"), "Slower", False, "confirmed: 1.30 × slower"),
        (Same(change(1.01), "7 pairs"), "Same", None, "not confirmed: 1.010 × slower in 7 pairs"),
        (Unclear("open after 9 pairs", change(1.2)), "Slower", True, "still open interleaved"),
        (Faster(change(0.8), False, "14 pairs"), "Unclear", False, "contradicted: 1.25 × faster"),
        (None, "Slower", True, ""),
    ],
)
def test_what_a_rerun_makes_of_a_suspect(
    answer: Verdict | None, kind: str, suspect: bool | None, told: str
) -> None:
    suspected = Line("m::X", "m", "X", Metric.P50, Slower(change(1.4), True))
    found = settle_suspect(suspected, answer)
    assert verdict_name(found.verdict) == kind
    assert told in found.confirmed
    assert getattr(found.verdict, "suspect", None) is suspect


def test_a_suspect_whose_environment_is_gone_says_so() -> None:
    words = write_two([BASE], [scaled(1.6)])
    found = compare(*words, "--confirm", question=Question.LATENCY)
    assert found.status == 1
    why = {r["confirmed"] for r in found.rows}
    assert why == {"not asked again: /opt/python is no longer there"}
    assert not list(Path("result").glob("confirm*"))


@pytest.mark.alone
def test_a_false_suspect_is_taken_back_by_a_real_rerun(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same model in two like environments; the old run's samples are made 20 times shorter."""
    here = Path(sys.executable)
    (home / "other").symlink_to(here.parents[1])
    pythons = (home / "other" / here.parent.name / here.name, here)
    for run_id, python, shorter in zip("ab", pythons, (20, 1), strict=True):
        said = ask(
            home, "-i", "zoo", "--models", "linear", "-e", "cpu@mine", "--env", f"mine={python}",
            "-t", "20", "--intra_op_threads", "1", "--run_id", run_id,
        )  # fmt: skip
        assert said.status == 0, said
        quieter(said.results / run_id, shorter)
    monkeypatch.chdir(home)
    before = compare("-p", "a", "-c", "b", question=Question.LATENCY)
    assert before.status == 1
    assert "Slower (suspect)" in {r["verdict"] for r in before.rows}
    found = compare("-p", "a", "-c", "b", "--confirm", "--max_minutes", "0.1")
    (again,) = Path("result").glob("confirm-*")
    environments = {
        r.cell.environment.name for r in read_records(RunFolder(again.parent, again.name))
    }
    assert environments == {confirm.OLD, confirm.NEW}
    rows = [r for r in found.rows if r["metric"] == "latency_p50"]
    assert {r["shapes"] for r in rows} == {
        "x=1x8",
        "x=2x8",
    }  # each asked again, and answered for itself
    for row in rows:
        assert (row["verdict"], row["worse"]) != ("Slower", "true")
        assert row["confirmed"].startswith(("not confirmed", "still open interleaved"))


def quieter(run: Path, shorter: int) -> None:
    """Make a run's samples shorter, and its launches undisturbed, whatever this machine was doing."""
    path = next(run.glob("cells/*/*/*/record.json"))
    old = record.read_record(path)
    launches = tuple(
        replace(x, timed=replace(
            x.timed, samples_ns=tuple(s // shorter for s in x.timed.samples_ns), run_delay_ns=0
        ))
        if isinstance(x.timed, Timed)
        else x
        for x in old.launches
    )  # fmt: skip
    record.write_record(replace(old, launches=launches), path)


def test_a_run_is_asked_again_as_it_was(home: Path) -> None:
    said = ask(
        home, "-i", "random", "--models", "linear", "-t", "2", "--launches", "1", "--warmup", "2", "--tf32",
        "--shape", "x=3x8", "--session_config", "session.intra_op.allow_spinning=0", "--run_id", "r",
        "--intra_op_threads", "1",
    )  # fmt: skip
    assert said.status == 0, said
    words = repeat_flags(said.results / "r")
    again = ask(home, *words, "--models", "linear", "-t", "2", "--launches", "1", "--run_id", "s")
    assert again.status == 0, again
    first, second = (
        next((said.results / r).glob("cells/*/*/*/cell.json")).parent.name for r in ("r", "s")
    )
    assert first == second  # the digest of everything that can change the answer
