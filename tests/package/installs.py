"""ep-perf installed as a user installs it: the wheel in a venv of its own, which nothing may write to any more."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.asking import ROOT, Said

NEEDED = ("numpy", "onnx", "onnxruntime", "rich", "shtab")


@dataclass(frozen=True)
class Install:
    """A venv with the wheel in it."""

    venv: Path
    site_packages: Path
    new_names: frozenset[str]  # what the wheel brought into site-packages

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.venv / "bin" / "python"

    def ep_perf(self, home: Path, *words: str, env: Mapping[str, str] | None = None) -> Said:
        """Run ep-perf in `home`, where nothing leads to a clone."""
        return self.run(home, self.venv / "bin" / "ep-perf", *words, env=env)

    def run(
        self, home: Path, program: Path, *words: str, env: Mapping[str, str] | None = None
    ) -> Said:
        """Run a program as a user to whom site-packages is read-only, even where the tests are root's."""
        given = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        given |= {"EP_PERF_HOME": str(home / "ep-perf-home"), "PYTHONSAFEPATH": "1", **(env or {})}
        less = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*less, program, *words], cwd=home, env=given, capture_output=True, text=True, timeout=120,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr, home / "result")


def build_wheel(folder: Path) -> Path:
    """The wheel of this clone, by what pyproject.toml names."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    subprocess.run([*pip, str(ROOT)], check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


def install(wheel: Path, python: str, folder: Path) -> Install:
    """A venv with the wheel, and the packages it needs: those of the tests' Python, where it is the same one."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "install",
        "-q",
    ]
    if site_packages.parent.name == f"python{sys.version_info[0]}.{sys.version_info[1]}":
        ours = Path(sysconfig.get_path("purelib"))
        (site_packages / "needed.pth").write_text(f"{ours}\n")
        for name in (
            "numpy",
            "numpy.libs",
        ):  # so that who is given site-packages is seen to find them
            (site_packages / name).symlink_to(ours / name)
    else:
        pinned = ["-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *pinned, *NEEDED], check=True, timeout=600)
    before = {p.name for p in site_packages.iterdir()}
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True, timeout=300)
    new = frozenset({p.name for p in site_packages.iterdir()} - before)
    for path in (site_packages, *site_packages.rglob("*")):
        if path.is_dir():
            path.chmod(0o555)
    return Install(folder, site_packages, new)


def find_python(version: str) -> str:
    """An interpreter of a version, on PATH or pyenv's; "" where there is none."""
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return str(sys._base_executable)  # type: ignore[attr-defined]
    program = shutil.which("pyenv")
    pyenvs = {Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))}
    pyenvs |= {Path(program).resolve().parents[1]} if program else set()
    found = [shutil.which(f"python{version}") or ""]
    for pyenv in sorted(pyenvs):
        found += map(str, pyenv.glob(f"versions/{version}.*/bin/python{version}"))
    return next((p for p in found if p and _runs(p, version)), "")


def _runs(python: str, version: str) -> bool:
    """Whether it is no shim of a version that is not there."""
    done = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.startswith(f"Python {version}.")
