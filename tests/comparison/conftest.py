"""What every comparison runs under: a folder of its own, on a machine that was never calibrated."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _uncalibrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
