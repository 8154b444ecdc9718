"""The wheel, built once, and installed for each Python that the harness supports."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.installs import Install, build_wheel, find_python, install


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session", params=["3.11", "3.12"])
def installed(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Install]:
    """Every test of this folder runs on both Pythons. CI's machine has both (pyenv); elsewhere one may lack."""
    python = find_python(request.param)
    if not python:
        if os.environ.get("CI"):
            pytest.fail(f"no Python {request.param}: CI must have it")
        pytest.skip(f"no Python {request.param} here (looked for on PATH and in pyenv); CI has it")
    made = install(wheel, python, tmp_path_factory.mktemp(f"python{request.param}") / "venv")
    yield made
    for path in (made.site_packages, *made.site_packages.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)  # so that who cleans up can
