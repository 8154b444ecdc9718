"""Programs of others that read what we export: each is run, and its word is taken."""

import os
import subprocess
import sys
from pathlib import Path

from tests.debian import need

WEB = Path(__file__).parent
MODULES = WEB / "node_modules"
CTRF_SCHEMA = MODULES / "ctrf/dist/ctrf-schema-0.0.json"


def run(*argv: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A program's ending, whatever it is."""
    need("npm", "nodejs npm")
    assert (MODULES / ".installed").exists(), "run tests/web/setup.sh first"
    return subprocess.run(
        [str(a) for a in argv], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, **variables},
    )  # fmt: skip


def validate_ctrf(file: Path) -> None:
    """By the package's own validator."""
    done = run("node", MODULES / "ctrf/dist/cli/cli.js", "validate", file)
    assert done.returncode == 0, done.stdout + done.stderr


def validate_json(file: Path, schema: Path) -> None:
    """By check-jsonschema."""
    done = run(Path(sys.executable).with_name("check-jsonschema"), "--schemafile", schema, file)
    assert done.returncode == 0, done.stdout + done.stderr


def sarif_findings(file: Path, scratch: Path) -> list[str]:
    """What Microsoft's SARIF multitool has against a file, its mere notes left out."""
    program = MODULES / "@microsoft/sarif-multitool-linux/Sarif.Multitool"
    done = run(
        program, "validate", file, "--output", scratch / "validated.sarif", "--level", "Error;Warning",
        "--kind", "Fail", DOTNET_SYSTEM_GLOBALIZATION_INVARIANT="1",
        DOTNET_BUNDLE_EXTRACT_BASE_DIR=str(scratch),
    )  # fmt: skip
    assert "Analysis completed" in done.stdout, done.stdout + done.stderr
    return [x for x in done.stdout.splitlines() if ": error " in x or ": warning " in x]


def shown_junit(file: Path, page: Path) -> str:
    """What xunit-viewer shows of a JUnit file."""
    viewer = MODULES / "xunit-viewer/bin/xunit-viewer.js"
    done = run("node", viewer, f"--results={file}", f"--output={page}", "--console", "--no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
