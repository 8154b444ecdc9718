"""Programs of Debian's packages: a test without its own is skipped with the package's name, and fails in CI."""

import os
import shutil

import pytest


def need(program: str, packages: str, path: str | None = None) -> None:
    """Skip the test where a program is missing; in CI, whose script installs it, that is a failure."""
    if shutil.which(program, path=path) is None:
        end = pytest.fail if os.environ.get("CI") else pytest.skip
        end(f"needs {program}: apt-get install {packages}")
