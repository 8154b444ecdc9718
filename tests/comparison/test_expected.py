"""Known failures: they pass the gate, unexpected passes are told, and a bad file costs one line."""

from dataclasses import replace
from pathlib import Path

import pytest

from comparison.cli import Question, main
from tests.comparison.cases import BASE, FAILS, scaled
from tests.comparison.runs import Made, write_run

ENTRY = '["squeezenet::CUDAExecutionProvider"]\nreason = "known"\nlink = "https://example.org/1"\n'


@pytest.fixture(autouse=True)
def _uncalibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


def status(current: Made, entry: str) -> int:
    write_run(Path("result/a"), [BASE])
    write_run(Path("result/b"), [current])
    Path("expected.toml").write_text(entry)
    return main(Question.ALL, ["-p", "a", "-c", "b", "--expected", "expected.toml"])


def test_an_expected_outcome_passes_the_gate(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(FAILS, ENTRY + 'outcome = "Raised"\n') == 0
    assert "expected: known (https://example.org/1)" in capsys.readouterr().out


def test_another_outcome_does_not() -> None:
    assert status(FAILS, ENTRY + 'outcome = "Crashed"\n') == 1


def test_an_expected_verdict_is_about_its_metric_only() -> None:
    slower = scaled(1.6)
    assert status(slower, ENTRY + 'verdict = "Slower"\n') == 0


def test_a_verdict_of_one_metric_leaves_the_others() -> None:
    assert status(scaled(1.6), ENTRY + 'verdict = "Slower"\nmetric = "latency_p50"\n') == 1


def test_an_unexpected_pass_is_told_and_fails_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(replace(BASE), ENTRY + 'outcome = "Raised"\n') == 0
    told = capsys.readouterr().out
    assert (
        "Unexpected pass: squeezenet::CUDAExecutionProvider was expected to be Raised: known"
        in told
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[broken", "not TOML"),
        ('["m::X"]\noutcome = "Raised"\n', "m::X: give a reason, and either an outcome or a verdict"),
        ('["m::X"]\nreason = "r"\n', "give a reason, and either an outcome or a verdict"),
        ('["m::X"]\nreason = "r"\noutcom = "Raised"\n', "unknown key 'outcom'"),
        ("m = 1\n", 'm: expected a table ["m"]'),
    ],
)  # fmt: skip
def test_a_bad_file_costs_one_line(
    text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(BASE, text) == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1
