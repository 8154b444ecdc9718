"""Known failures: they pass the gate, unexpected passes are told, and a bad file costs one line."""

from pathlib import Path

import pytest

from tests.comparison.cases import BASE, FAILS, scaled
from tests.comparison.runs import Made, compare, write_two

ENTRY = '["squeezenet::CUDAExecutionProvider"]\nreason = "known"\nlink = "https://example.org/1"\n'
PASSES = "Unexpected pass: squeezenet::CUDAExecutionProvider was expected to be Raised: known"


@pytest.mark.parametrize(
    ("current", "entry", "status", "told"),
    [
        (FAILS, 'outcome = "Raised"', 0, "expected: known (https://example.org/1)"),
        (FAILS, 'outcome = "Crashed"', 1, "Broke"),
        (scaled(1.6), 'verdict = "Slower"', 0, "expected: known"),
        (scaled(1.6), 'verdict = "Slower"\nmetric = "latency_p50"', 1, "expected: known"),
        (BASE, 'outcome = "Raised"', 0, PASSES),
        (BASE, 'outcome = "Passed"', 0, "same within"),
    ],
)
def test_what_is_expected_fails_no_gate(current: Made, entry: str, status: int, told: str) -> None:
    Path("expected.toml").write_text(ENTRY + entry)
    found = compare(*write_two([BASE], [current]), "--expected", "expected.toml")
    assert found.status == status
    assert told in " ".join(found.out.split())
    assert ("Unexpected pass" in found.out) is (told == PASSES)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[broken", "not TOML"),
        ('["m::X"]\noutcome = "Raised"\n', "m::X: give a reason, and either an outcome or a verdict"),
        ('["m::X"]\nreason = "r"\n', "give a reason, and either an outcome or a verdict"),
        ('["m::X"]\nreason = "r"\noutcom = "Raised"\n', "unknown key 'outcom'"),
        ("m = 1\n", 'm: expected a table ["m"]'),
        ('["m::X"]\noutcome = "Raisd"\nreason = "r"\n', "m::X: no outcome 'Raisd'; use Mismatched, Raised"),
        ('["m::X"]\nverdict = "Slow"\nreason = "r"\n', "m::X: no verdict 'Slow'; use Broke, Slower"),
    ],
)  # fmt: skip
def test_a_bad_file_costs_one_line(text: str, line: str) -> None:
    Path("expected.toml").write_text(text)
    found = compare(*write_two([BASE], [BASE]), "--expected", "expected.toml")
    assert found.status == 2
    assert line in found.err
    assert found.err.count("\n") == 1
