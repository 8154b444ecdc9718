"""Engines of other frameworks, held to the contract that every backend is held to, where they are built."""

from pathlib import Path

import pytest

from perf import backends
from tests.backends.test_contract import ALL, Trial, put_promises
from tests.frameworks.workplace import interpreter

pytestmark = pytest.mark.frameworks
MODULES = "tests.fakes.torch_trial"
REFUSES = {"iree": "timed_runs_are_as_many_as_samples"}  # its importer takes no RandomUniform


@pytest.mark.parametrize(
    ("target", "environment", "entries"),
    [
        ("Standalone_OpenVINO", "openvino_alone", ""),
        ("iree", "iree", ""),
        ("torch", "torch", MODULES),
        ("torch_script", "torch", MODULES),
    ],
)
def test_it_keeps_its_promises(
    target: str, environment: str, entries: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    backend = backends.backend_serving(target, ALL)
    trial = Trial(target, backend, interpreter(environment), entries=entries)
    for promise, broken in put_promises(trial, tmp_path).items():
        with subtests.test(promise):
            if REFUSES.get(target) == promise:
                assert "open() raises IreeFailedError: the compiler refused the model" in broken
            elif broken:
                pytest.fail(broken, pytrace=False)
