"""What pyproject.toml cannot say: the rooms go into ep_perf, with data files and commit (docs/adr/0026)."""

import shutil
import sys
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).absolute().parent
ROOMS = ("perf", "comparison", "setup_models")
sys.path.insert(0, str(ROOT))

from perf.request import locations  # noqa: E402


def put_commit(folder: Path) -> None:
    """Say which commit this is where no .git will."""
    (folder / locations.COMMIT).write_text(locations.read_commit(ROOT) + "\n", encoding="utf-8")


class BuildWithData(build_py):  # type: ignore[misc]
    """Adds the files of the root that code reads."""

    def run(self) -> None:
        """Copy them beside the rooms."""
        super().run()
        if not self.editable_mode:
            for name in (locations.MODEL_LIST.name, locations.ENVIRONMENTS.name):
                shutil.copyfile(ROOT / name, Path(self.build_lib) / "ep_perf" / name)
            own = shutil.ignore_patterns("harness*")  # a clone's .venv is made from these
            locks = Path(self.build_lib) / "ep_perf" / "locks"
            shutil.copytree(ROOT / "locks", locks, ignore=own, dirs_exist_ok=True)
            put_commit(Path(self.build_lib) / "ep_perf")


class SourceWithCommit(sdist):  # type: ignore[misc]
    """Adds the commit."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Write it at the root, where read_commit looks."""
        super().make_release_tree(base_dir, files)
        put_commit(Path(base_dir))


PACKAGES = [
    "ep_perf",
    *(f"ep_perf.{p}" for p in find_packages(str(ROOT), include=[f"{r}*" for r in ROOMS])),
]

with (
    tempfile.TemporaryDirectory() as scratch
):  # a build/ in the clone would hand deleted files on to later wheels
    setup(
        packages=PACKAGES,
        include_package_data=False,
        package_dir={f"ep_perf.{room}": room for room in ROOMS},
        package_data={
            "ep_perf": ["py.typed"],
            "ep_perf.perf.page": ["*.css", "*.js"],
            "ep_perf.setup_models": ["*.toml"],
            "ep_perf.setup_models.fetch": ["*.json"],
        },
        cmdclass={"build_py": BuildWithData, "sdist": SourceWithCommit},
        options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
    )
