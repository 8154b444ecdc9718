"""Suspects asked again: by a real interleaved run where that can be, and by its answer put in their place."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from comparison import confirm
from comparison.cell_summary import Metric
from comparison.cli import Question, main
from comparison.confirm import settled
from comparison.rerun import as_before
from comparison.verdict import Change, Faster, Line, Same, Slower, Unclear, Verdict, verdict_name
from perf.results.run_folder import RunFolder
from perf.schema import record
from perf.schema.journal import Timed
from tests.asking import ask
from tests.comparison.cases import BASE, scaled
from tests.comparison.runs import write_run


@pytest.fixture(autouse=True)
def _uncalibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def change(ratio: float) -> Change:
    return Change(
        ratio, ratio * 0.99, ratio * 1.01, 0.03, None, "paired", 5.0, 5.0 * ratio, (9, 9)
    )


def line(verdict: Verdict) -> Line:
    return Line("m::X", "m", "X", Metric.P50, verdict)


@pytest.mark.parametrize(
    ("answer", "kind", "suspect", "told"),
    [
        (Slower(change(1.3), False, "14 pairs"), "Slower", False, "confirmed: +30.0 %"),
        (Same(change(1.01), "7 pairs"), "Same", None, "not confirmed: +1.0 % in 7 pairs"),
        (Unclear("open after 9 pairs", change(1.2)), "Slower", True, "still open interleaved"),
        (Faster(change(0.8), False, "14 pairs"), "Unclear", False, "contradicted: -20.0 %"),
        (None, "Slower", True, ""),
    ],
)
def test_what_a_rerun_makes_of_a_suspect(
    answer: Verdict | None, kind: str, suspect: bool | None, told: str
) -> None:
    found = settled(line(Slower(change(1.4), True)), answer)
    assert verdict_name(found.verdict) == kind
    assert told in found.confirmed
    assert getattr(found.verdict, "suspect", None) is suspect


def test_a_suspect_whose_environment_is_gone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("result/a"), [BASE])
    write_run(Path("result/b"), [scaled(1.6)])
    assert main(Question.LATENCY, ["-p", "a", "-c", "b", "--confirm"]) == 1
    assert "not asked again: /opt/python is no longer there" in capsys.readouterr().out
    assert [p.name for p in Path("result").iterdir() if p.name.startswith("confirm")] == []


@pytest.mark.alone
def test_a_false_suspect_is_taken_back_by_a_real_rerun(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same model in two like environments; the old run's samples are made 20 times shorter."""
    here = Path(sys.executable)
    (home / "other").symlink_to(here.parents[1])
    other = home / "other" / here.parent.name / here.name
    runs = []
    for name_, python in (("a", str(other)), ("b", sys.executable)):
        said = ask(
            home, "-i", "zoo", "--models", "linear", "-e", "cpu@mine", "--env", f"mine={python}",
            "-t", "20", "--intra_op_threads", "1", "--run_id", name_,
        )  # fmt: skip
        assert said.status == 0, said
        runs.append(said.results / name_)
    quieter(runs[0], shorter=20)
    quieter(runs[1], shorter=1)
    monkeypatch.chdir(home)
    status = main(Question.LATENCY, ["-p", "a", "-c", "b", "-o", "plain.csv"])
    assert status == 1
    assert "Slower (suspect)" in Path("plain.csv").read_text()
    main(
        Question.ALL, ["-p", "a", "-c", "b", "-o", "out.csv", "--confirm", "--max_minutes", "0.1"]
    )
    asked = [p for p in Path("result").iterdir() if p.name.startswith("confirm-")]
    assert len(asked) == 1
    labels = {r.cell.environment.name for r in _records(asked[0])}
    assert labels == {confirm.OLD, confirm.NEW}
    rows = [r for r in Path("out.csv").read_text().splitlines() if ",latency_p50," in r]
    assert len(rows) == 1
    assert "Slower,true" not in rows[0]
    assert "not confirmed" in rows[0] or "still open interleaved" in rows[0]


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


def _records(folder: Path) -> tuple[record.Record, ...]:
    from perf.results.run_folder import read_records

    return read_records(RunFolder(folder.parent, folder.name))


def test_a_run_is_asked_again_as_it_was(home: Path) -> None:
    said = ask(
        home, "-i", "random", "--models", "linear", "-t", "2", "--launches", "1", "--warmup", "2", "--tf32",
        "--shape", "x=3x8", "--session_config", "session.intra_op.allow_spinning=0", "--run_id", "r",
        "--intra_op_threads", "1",
    )  # fmt: skip
    assert said.status == 0, said
    words = as_before(said.results / "r")
    again = ask(home, *words, "--models", "linear", "-t", "2", "--launches", "1", "--run_id", "s")
    assert again.status == 0, again
    first, second = (
        next((said.results / r).glob("cells/*/*/*/cell.json")).parent.name for r in ("r", "s")
    )
    assert first == second  # the digest of everything that can change the answer
