"""A folder of small modules to run in, and the environments that run them."""

import shutil
from pathlib import Path

import pytest

from tests.asking import ROOT
from tests.frameworks.workplace import ENVIRONMENTS, Workplace, interpreter


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    for name in ENVIRONMENTS:
        assert Path(interpreter(name)).exists(), "make test-frameworks builds it"
    shutil.copy(ROOT / "environments.toml", tmp_path)
    shutil.copy(ROOT / "tests/fakes/torch_models.py", tmp_path / "nets.py")
    return Workplace(tmp_path)
