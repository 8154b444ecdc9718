"""Builds from source: the exact commands, resuming, and an old environment that survives every failure."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from docker.ort_build_latest import BUILD_TOOLS, Request, fetch
from docker.ort_environment import BuildFailed
from tests.docker.recorded import HOME, Programs, Run
from tests.docker.wheels import make_wheel

OLD, NEW = "a" * 40, "b" * 40

# What git does to the disk, and no more: a clone has .git, a work tree has the sources in it.
GIT = """
import pathlib, shutil
words = [w for w in sys.argv[1:] if not w.startswith("-")]
if "clone" in words:
    pathlib.Path(sys.argv[-1], ".git").mkdir(parents=True)
elif "rev-parse" in words:
    commit = json.loads(os.environ["FAKE_REFS"]).get(sys.argv[-1])
    print(commit or "")
    sys.exit(0 if commit else 1)
elif "add" in words:
    tree = pathlib.Path(sys.argv[-2])
    shutil.copytree(os.environ["FAKE_SOURCE"], tree)
    (tree / ".git").touch()
"""

# ORT's build.py: leaves a wheel in <build_dir>/Release/dist, or dies.
BUILD = """
import pathlib, shutil
if "FAKE_FAILURE" in os.environ:
    sys.exit(4)
build = pathlib.Path(sys.argv[sys.argv.index("--build_dir") + 1])
(build / "Release/dist").mkdir(parents=True, exist_ok=True)
shutil.copy(os.environ["FAKE_WHEEL"], build / "Release/dist")
"""

PROBE = "import json, onnxruntime; print(onnxruntime.__version__)"


@dataclass(frozen=True)
class Bench:
    """A checkout that builds from a repository that is not there yet, with an index of tiny wheels."""

    checkout: Path
    repository: Path
    cuda: Path
    tensorrt: Path
    wheels: Path
    env: dict[str, str]

    @property
    def environment(self) -> Path:
        return self.checkout / ".envs" / "ort"

    def wheel(self, version: str, body: str = "") -> dict[str, str]:
        """The next build's wheel, as the environment variables that the stand-in reads."""
        module = f"__version__ = {version!r}\ndef get_available_providers(): return ['Fake']\n"
        made = make_wheel(
            self.wheels, "onnxruntime_gpu", version, {"onnxruntime.py": body + module}
        )
        return {**self.env, "FAKE_WHEEL": str(made)}

    def version(self) -> str:
        """What the environment imports."""
        python = self.environment / "bin" / "python"
        done = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, check=True)
        return done.stdout.strip()


@pytest.fixture
def bench(checkout: Path, tmp_path: Path, programs: Programs) -> Bench:
    wheels, source = tmp_path / "wheels", tmp_path / "source"
    wheels.mkdir()
    (source / "tools/ci_build").mkdir(parents=True)
    build = programs.add("build.py", BUILD)
    build.rename(source / "tools/ci_build/build.py")
    for tool in (*BUILD_TOOLS, "numpy==9.9.9"):
        name, version = tool.split("==")
        make_wheel(wheels, name, version, {f"{name}_made_for_a_test.py": "", "numpy.py": ""})
    (checkout / "constraints.txt").write_text("numpy==9.9.9\nonnxruntime-gpu==0.1\n")
    cuda, tensorrt = tmp_path / "cuda home", tmp_path / "tensorrt home"
    cuda.mkdir()
    tensorrt.mkdir()
    env = {
        "FAKE_SOURCE": str(source),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": wheels.as_uri(),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_EXTRA_INDEX_URL": "",
    }
    return Bench(checkout, tmp_path / "my repos" / "onnxruntime", cuda, tensorrt, wheels, env)


def refs(**names: str) -> dict[str, str]:
    return {
        "FAKE_REFS": json.dumps(
            {f"{k.replace('__', '/')}^{{commit}}": v for k, v in names.items()}
        )
    }


def test_a_build_its_repetition_its_failure_and_its_resumption(
    bench: Bench, programs: Programs, script: Run
) -> None:
    programs.add("git", GIT)
    ort_build = [str(bench.checkout / "docker/ort_build_latest.py"), "-o", str(bench.repository)]
    ort_build += [
        "-c",
        str(bench.cuda),
        "-t",
        str(bench.tensorrt),
        "--architectures",
        "75-real;90-real",
    ]
    python = Path(sys.executable)

    # 1. From nothing.
    old = refs(refs__remotes__origin__main=OLD)
    first = script(python, *ort_build, env={**bench.wheel("1.40.0"), **old})
    assert first.returncode == 0, first.stdout + first.stderr
    work = bench.environment.with_name("ort.build")
    root = ["--allow_running_as_root"] if os.geteuid() == 0 else []
    *of_git, build = programs.calls()
    assert {call[0] for call in of_git} == {"git"}  # the next test has the rest of it for real
    assert [call[3:] for call in of_git[-2:]] == [
        ["checkout", "--force", "--detach", OLD],
        ["submodule", "update", "--init", "--recursive"],
    ]
    assert build == [
        *("build.py", "--build_dir", str(work / "output")),
        *("--config", "Release", "--update", "--build", "--build_wheel", "--skip_tests"),
        *("--skip_submodule_sync", "--compile_no_warning_as_error"),
        *("--cmake_generator", "Ninja", "--parallel"),
        *("--use_cuda", "--cuda_home", str(bench.cuda), "--cudnn_home", "/usr"),
        *("--use_tensorrt", "--tensorrt_home", str(bench.tensorrt)),
        *("--cmake_extra_defines", "CMAKE_CUDA_ARCHITECTURES=75-real;90-real"),
        *root,
    ]
    assert bench.version() == "1.40.0"
    record = json.loads((bench.environment / "build.json").read_text())
    assert record["commit"] == OLD
    assert record["branch"] == "main"
    assert record["version"] == "1.40.0"
    assert record["providers"] == ["Fake"]
    assert record["tensorrt_home"] == str(bench.tensorrt)

    # 2. The same commit again: nothing to do.
    before = len(programs.calls())
    again = script(python, *ort_build, env={**bench.wheel("1.40.0"), **old})
    assert again.returncode == 0
    assert f"already holds {OLD}" in again.stdout
    assert [call[3] for call in programs.calls()[before:]] == ["fetch", "rev-parse"]

    # 3. A newer commit that does not compile, then one whose wheel does not load: the old one works on.
    new = refs(refs__remotes__origin__main=NEW)
    failed = script(python, *ort_build, env={**bench.wheel("1.41.0"), **new, "FAKE_FAILURE": "1"})
    assert failed.returncode == 2
    assert failed.stderr.startswith("ort_build_latest.py: cannot build: ")
    kept = f"ended with 4; its output is above. {bench.environment} is as it was\n"
    assert failed.stderr.endswith(kept)
    assert bench.version() == "1.40.0"
    broken = script(python, *ort_build, env={**bench.wheel("1.41.0", "import nowhere\n"), **new})
    assert broken.returncode == 2
    assert "does not load in " in broken.stderr
    assert f"No module named 'nowhere'. {bench.environment} is as it was\n" in broken.stderr
    assert bench.version() == "1.40.0"

    # 4. Resumed: a wheel that is not the recorded one is compiled anew, a recorded one is not.
    progress = work / "progress.json"
    stored = json.loads(progress.read_text())
    shutil.copy(bench.wheel("1.41.0")["FAKE_WHEEL"], stored["wheel"])
    before = len(programs.calls())
    changed = script(python, *ort_build, env={**bench.wheel("1.41.0"), **new})
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert "build.py" in [
        call[0] for call in programs.calls()[before:]
    ]  # not the wheel that was recorded
    assert bench.version() == "1.41.0"
    assert json.loads((bench.environment / "build.json").read_text())["commit"] == NEW
    shutil.rmtree(bench.environment.resolve())
    before = len(programs.calls())
    resumed = script(python, *ort_build, env={**bench.wheel("1.41.0"), **new})
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert "build.py" not in [call[0] for call in programs.calls()[before:]]
    assert bench.version() == "1.41.0"


def commit(repository: Path, version: str, wheels: Path) -> str:
    """Commit a build.py that leaves a wheel of this version."""
    module = f"__version__ = {version!r}\ndef get_available_providers(): return []\n"
    wheel = make_wheel(wheels, "onnxruntime_gpu", version, {"onnxruntime.py": module})
    script = repository / "tools/ci_build/build.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(f"import os, sys\nos.environ['FAKE_WHEEL'] = {str(wheel)!r}\n{BUILD}")
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", version], check=True)
    asked = [*git, "rev-parse", "HEAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.needs("git", "git")
def test_branches_tags_and_commits_of_a_real_repository(
    bench: Bench, script: Run, tmp_path: Path
) -> None:
    origin = tmp_path / "origin repo"
    subprocess.run(["git", "init", "-q", "-b", "main", str(origin)], check=True)
    tagged = commit(origin, "1.50.0", bench.wheels)
    subprocess.run(["git", "-C", str(origin), "tag", "v1.50.0"], check=True)
    newest = commit(origin, "1.51.0", bench.wheels)
    # The user's own clone is in the middle of something: nothing of it may change.
    subprocess.run(["git", "clone", "-q", str(origin), str(bench.repository)], check=True)
    (bench.repository / "tools/ci_build/build.py").write_text("my own change")

    request = Request(
        repository=bench.repository,
        url="",
        branch="v1.50.0",
        cuda_home=bench.cuda,
        tensorrt_home=None,
        cudnn_home=bench.cuda,
        architectures="75",
        parallel=0,
        environment=bench.environment,
    )
    for branch, at in (
        ("main", newest),
        ("v1.50.0", tagged),
        (tagged, tagged),
        (newest[:8], newest),
    ):
        assert fetch(replace(request, branch=branch)) == at
    with pytest.raises(BuildFailed, match="has no branch, tag or commit 'nowhere'; check -b"):
        fetch(replace(request, branch="nowhere"))

    ort_build = str(bench.checkout / "docker/ort_build_latest.py")
    arguments = ["-o", str(bench.repository), "-c", str(bench.cuda), "-b", "v1.50.0"]
    done = script(Path(sys.executable), ort_build, *arguments, env=bench.env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert bench.version() == "1.50.0"
    assert json.loads((bench.environment / "build.json").read_text())["commit"] == tagged
    assert (bench.repository / "tools/ci_build/build.py").read_text() == "my own change"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["-c", "/nowhere"], "-c /nowhere is not a folder"),
        (["-c", "/usr", "-t", "/nowhere"], "-t /nowhere is not a folder"),
        (["-c", "/usr", "-b=--upload-pack=x"], "is not a branch, tag or commit"),
    ],
)
def test_a_wrong_request_is_refused(
    bench: Bench, script: Run, asked: list[str], said: str
) -> None:
    ort_build = str(bench.checkout / "docker/ort_build_latest.py")
    done = script(Path(sys.executable), ort_build, "-o", str(bench.repository), *asked)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_index_has_a_package_named_as_our_folder(script: Run, tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "__init__.py").touch()
    build = str(HOME / "docker/ort_build_latest.py")
    done = script(Path(sys.executable), build, "--help", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr


def test_an_environment_of_someone_elses_is_left_alone(bench: Bench, script: Run) -> None:
    (bench.environment / "bin").mkdir(parents=True)
    ort_build = str(bench.checkout / "docker/ort_build_latest.py")
    done = script(
        Path(sys.executable), ort_build, "-o", str(bench.repository), "-c", str(bench.cuda)
    )
    assert done.returncode == 2
    assert "is not of this program's making; choose another --name" in done.stderr
    assert (bench.environment / "bin").is_dir()
