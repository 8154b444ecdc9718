"""A folder of small modules to run in, and the environments that run them."""

import shutil
from pathlib import Path

import pytest

from tests.asking import ROOT
from tests.frameworks.workplace import ENVIRONMENTS, Workplace, interpreter


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A real compiler on a busy machine takes minutes."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    for name in ENVIRONMENTS:
        assert Path(interpreter(name)).exists(), "make test-frameworks builds it"
    shutil.copy(ROOT / "environments.toml", tmp_path)
    shutil.copy(ROOT / "tests/fakes/torch_models.py", tmp_path / "nets.py")
    return Workplace(tmp_path)
