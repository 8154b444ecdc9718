"""Torch-TensorRT and BladeDISC, which no registry here has: our side of them, against fakes, on real modules."""

import re

import pytest

from tests.asking import ROOT
from tests.frameworks.workplace import Workplace

pytestmark = pytest.mark.frameworks


def test_they_are_called_as_their_sources_say_and_their_answers_are_read(
    workplace: Workplace,
) -> None:
    program = ROOT / "tests/frameworks/packages_that_are_not_here.py"
    done = workplace.python(str(program))
    assert done.returncode == 0, done.stderr[-3000:]
    checks = re.findall(r"^def check_", program.read_text(), re.M)
    assert done.stdout.count("ok ") == len(checks) == 9
