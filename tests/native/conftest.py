"""The C++ runtime built from its sources, without PyTorch, once for all tests of it."""

import subprocess
from pathlib import Path

import pytest

from perf.backends._native.program import VARIABLE
from tests.asking import ROOT
from tests.debian import need

BUILD_S = 500  # on a machine that is busy with other tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the compiler."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """build/benchmark, made by CMake with warnings as errors."""
    need("cmake", "cmake")
    need("g++", "g++")
    folder = tmp_path_factory.mktemp("native") / "build"
    without = "-DCMAKE_DISABLE_FIND_PACKAGE_Torch=ON"
    flags = ("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON")
    configure = ["cmake", "-S", str(ROOT / "perf/native"), "-B", str(folder), without, *flags]
    for command in (configure, ["cmake", "--build", str(folder), "--parallel", "2"]):
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "benchmark"


@pytest.fixture
def program(built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, as the one that the harness runs."""
    monkeypatch.setenv(VARIABLE, str(built))
    return built
