"""Asks benchmark.py as a user does, where tests/asking.py asks the wrapper."""

import subprocess
import sys
from pathlib import Path

from tests.asking import ROOT, Said, overriding

FAKE = f"""
drop = ["*"]
[current]
python = "current"

[fake]
python = "current"
backend = "{ROOT / "tests" / "fakes" / "engine.py"}"
targets = ["FakeExecutionProvider"]
default = false
"""
CELLS = ("-i", "zoo", "-t", "5", "--warmup", "1", "-e", "cpu")


def command(home: Path, *words: str) -> Said:
    """Run benchmark.py in `home` to its end."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmark.py"), *overriding(words)], cwd=home, capture_output=True,
        text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr, home / "result")


def run(home: Path, *words: str) -> Said:
    """Run the models of `home`."""
    return command(home, "-m", "models", *words)


def faking(home: Path) -> Path:
    (home / "environments.toml").write_text(FAKE, encoding="utf-8")
    return home
