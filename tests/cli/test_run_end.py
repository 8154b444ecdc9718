"""Red or green: --fail_on, --strict, --expected, --against, --save_baseline, --export at the end of a run."""

import json
import subprocess
from pathlib import Path

import junitparser
import pytest
from onnx import helper

from tests import models
from tests.asking import QUICK, ROOT, ask, one_line

WRONG = "wrong::CPUExecutionProvider"


def expect(home: Path, cell: str, outcome: str) -> str:
    text = f'["{cell}"]\noutcome = "{outcome}"\nreason = "known since 1.24"\n'
    (home / "expected.toml").write_text(text)
    return "expected.toml"


@pytest.fixture(scope="module")
def wrong_home(shared_home: Path) -> Path:
    models.linear(shared_home / "models" / "wrong", error=1.0)
    return shared_home


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        ("--fail_on mismatched", 1),
        ("--fail_on Crashed,TimedOut", 0),
        ("--strict", 1),
    ],
)
def test_outcomes_by_name_make_a_run_red(wrong_home: Path, flags: str, status: int) -> None:
    said = ask(wrong_home, *QUICK, *flags.split(), "--models", "wrong", out="fail_on")
    assert said.status == status
    assert ("red: 1 Mismatched" in said.err) is bool(status)


def test_what_is_expected_is_green_everywhere_and_an_unexpected_pass_is_told(
    wrong_home: Path,
) -> None:
    words = (*QUICK, "--strict", "--expected", expect(wrong_home, WRONG, "Mismatched"))
    said = ask(wrong_home, *words, "--export", "junit=cells.xml", out="expected")
    assert said.status == 0, said.err
    assert said.out.splitlines()[-1] == ("3 cells: 2 Passed, 1 Mismatched. 1 failed as expected.")
    found = junitparser.JUnitXml.fromfile(str(wrong_home / "cells.xml"))
    assert (found.tests, found.failures, found.errors, found.skipped) == (3, 0, 0, 1)
    page = (said.run.root / f"report_{said.run.run_id}.html").read_text()
    assert "known since 1.24" in page
    assert f"page: expected/{said.run.run_id}/report_" in said.out
    flags = (*QUICK, "--expected", expect(wrong_home, "relu::CPUExecutionProvider", "Crashed"))
    said = ask(wrong_home, *flags, "--models", "relu", out="expected")
    assert said.status == 0
    assert "unexpected pass: relu::CPUExecutionProvider was expected to fail: known" in said.err


def test_a_rolling_gate_is_one_command(home: Path) -> None:
    gate = (
        "--against",
        "good",
        "--save_baseline",
        "good",
        "--fail_on",
        "Broke",
        "--models",
        "relu",
    )
    first = ask(home, *QUICK, *gate, out="gate")
    assert first.status == 0
    assert "no run is saved as good yet: this one is the first" in first.err
    second = ask(home, *QUICK, *gate, out="gate")
    assert second.status == 0, second.err
    assert "first" not in second.err
    assert f"{first.run.run_id} -> " not in second.out  # stdout is the run's own
    saved = (second.results / "baselines" / "good").resolve()
    assert saved.name == second.run.run_id
    third = ask(home, *QUICK, *gate, "--timeout", "0.01", out="gate")
    assert third.status == 1, third.err
    assert f"red: worse than {saved.name}" in third.err
    assert "not saved as good: the run is red" in third.err
    assert (second.results / "baselines" / "good").resolve() == saved


def test_a_run_that_was_asked_otherwise_is_held_against_where_that_is_the_question(
    home: Path,
) -> None:
    words = (*QUICK, "--models", "relu", "-r", "both")
    assert ask(home, *words, "--save_baseline", "theirs", out="across").status == 0
    other = [{"4": "6"}.get(w, w) for w in words]  # -t
    said = ask(home, *other, "--against", "theirs", out="across")
    assert "not compared, unless by --across protocol" in said.err
    assert "1 NotComparable" in said.err
    said = ask(home, *other, "--against", "theirs", "--across", "protocol", "cpu", out="across")
    assert said.status in (0, 1)  # a verdict, whichever it is
    assert "protocol: runs 4, " in said.err
    assert "NotComparable" not in said.err


def test_stdout_takes_one_document(wrong_home: Path) -> None:
    words = (*QUICK, "--models", "relu")
    said = ask(wrong_home, *words, "--export", "json", out="stdout")
    assert json.loads(said.out)
    assert "[1/1] relu" in said.err
    said = ask(wrong_home, *words, "--export", "json", "--json", out="stdout")
    assert said.status == 2
    assert "--export json and --json both want stdout" in one_line(said)


def test_a_run_in_which_nothing_was_measurable_ends_in_a_line_that_says_so(home: Path) -> None:
    dims: models.Shape = ["a", 3, "b"]
    models.write(
        home / "any", [helper.make_node("Identity", ["x"], ["y"])], {"x": dims}, {"y": dims}, []
    )
    said = ask(home, "-m", "any/model.onnx", "-i", "random")
    assert said.status == 2
    assert said.err.endswith(
        "error: nothing was measurable; each cell's line says why it was skipped\n"
    )
    assert said.out.endswith(": 1 Skipped.\n")  # and nothing of --strict


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--fail_on Cracked", "--fail_on Cracked: no outcome or verdict 'Cracked'"),
        ("--fail_on Slower", "--fail_on Slower: a verdict needs --against RUN"),
        ("--export pdf", "--export pdf: no format 'pdf': use html, junit,"),
        ("--export junit=", "junit= names no file"),
        (
            "--export junit=a.xml --export ctrf=a.xml",
            "--export junit and --export ctrf both want a.xml",
        ),
        ("--across cpu", "--across cpu: what differs from --against RUN"),
        (
            "--against latest --across colour",
            "--across colour: choose from model, inputs, batch, cpu",
        ),
        ("--against never", "never: no such file, folder, run id or saved name"),
        ("--save_baseline latest", "another word than latest"),
        ("--expected gone.toml", "gone.toml: no such file"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_runs(
    wrong_home: Path, flags: str, line: str
) -> None:
    said = ask(wrong_home, *QUICK, *flags.split(), out="refused")
    assert said.status == 2
    assert line in one_line(said)
    assert not (wrong_home / "refused").exists()


def test_the_command_below_a_failing_cell_runs_it_whatever_the_other_targets_were_given(
    wrong_home: Path,
) -> None:
    openvino = ROOT / ".envs" / "openvino" / "bin" / "python"
    said = ask(
        wrong_home, *QUICK, "-r", "validate", "-e", "cpu", "ov@ov", "--env", f"ov={openvino}",
        "--ep_options", "ov:num_of_threads=1", out="two",
    )  # fmt: skip
    (line,) = (x for x in said.out.splitlines() if x.endswith(f"--rerun {WRONG}"))
    pasted = subprocess.run(
        ["sh", "-c", line],
        cwd=wrong_home,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert pasted.returncode == 0, pasted.stderr
    assert f"[1/1] {WRONG}  Mismatched(test_data_set_0/y)" in pasted.stdout
