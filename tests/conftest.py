"""What every test runs under: leases of its own, so that no run on this machine waits for a test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import models
from tests.asking import CURRENT

# Examples are not timed (a busy machine is no bug), and a failing one is printed rather than stored.
settings.register_profile(
    "tests", deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
settings.load_profile("tests")


@pytest.fixture(scope="session", autouse=True)
def own_leases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EP_PERF_LEASES", str(tmp_path_factory.mktemp("leases")))
        patch.setenv("COLUMNS", "120")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")  # the tests mean a machine without a GPU
        yield


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder to run in: the tests' own interpreter as its one environment, two small models."""
    return made_home(tmp_path / "home")


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for a whole module: its tests must not write over each other's."""
    return made_home(tmp_path_factory.mktemp("shared") / "home")


def made_home(folder: Path) -> Path:
    folder.mkdir()
    (folder / "environments.toml").write_text(CURRENT, encoding="utf-8")
    models.relu(folder / "models" / "relu")
    models.linear(folder / "models" / "linear")
    assert os.access(folder, os.W_OK)
    return folder
