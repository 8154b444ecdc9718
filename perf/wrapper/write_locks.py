"""`python -m perf.wrapper.write_locks [--file F] [NAME…]`: asks the index for digests of what is pinned."""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from perf.request.environments import EnvironmentsError, load_environments
from perf.request.locations import CODE, ENVIRONMENTS
from perf.request.locks import lock_path

HEADER = "# By `make locks`: every file of these versions that the index has, for any platform and Python.\n"
NO_ADDRESSES = (
    "--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-emit-options"
)  # fmt: skip
# Of what .venv has; Ray's version is that of its users' cluster.
EXTRAS = ("zoo", "half", "symbolic", "dashboard", "parquet", "kusto", "dev")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the locks; 2 where an environment is not known, 3 where the index does not answer."""
    parser = argparse.ArgumentParser(
        prog="python -m perf.wrapper.write_locks", description=__doc__
    )
    parser.add_argument("--file", type=Path, default=ENVIRONMENTS)
    parser.add_argument(
        "names", nargs="*", help="default: every environment of the file that is built"
    )
    given = parser.parse_args(argv)
    try:
        specs = {s.name: s.requirements for s in load_environments(given.file) if s.requirements}
    except EnvironmentsError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    if given.file.absolute() == ENVIRONMENTS:
        specs |= _of_the_harness()
    for name in given.names or specs:
        if name not in specs:
            print(f"error: {given.file}: no environment {name!r} to lock", file=sys.stderr)
            return 2
        if problem := write_lock(lock_path(given.file.absolute().parent, name), specs[name]):
            print(f"error: {name}: {problem}", file=sys.stderr)
            return 3
    return 0


def write_lock(path: Path, requirements: Sequence[str]) -> str:
    """Lock what pip resolves these to, at the versions of constraints.txt; returns why it failed, or ""."""
    with tempfile.TemporaryDirectory(prefix="ep-perf-lock-") as folder:
        wanted, out = Path(folder) / "wanted.in", Path(folder) / "out.lock"
        wanted.write_text("\n".join(requirements), encoding="utf-8")
        words = [
            "--generate-hashes", "--allow-unsafe", "--no-header", "--no-annotate", "--strip-extras",
            "--quiet", *NO_ADDRESSES, "--output-file", str(out), str(wanted),
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "piptools", "compile", *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["pip-compile failed"])[-1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER + out.read_text(encoding="utf-8"), encoding="utf-8")
    return ""


def _of_the_harness() -> dict[str, tuple[str, ...]]:
    """Its own .venv, for a run and for development: pyproject.toml's packages, constraints.txt's versions."""
    project = tomllib.loads((CODE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    constraints = f"-c {CODE / 'constraints.txt'}"
    more = [p for extra in EXTRAS for p in project["optional-dependencies"][extra]]
    run = (*project["dependencies"], constraints)
    return {"harness": run, "harness-dev": (*run, *more)}


if __name__ == "__main__":
    sys.exit(main())
