"""Builds the ONNX Runtime wheel from source at a branch, tag or commit, for an environment of the harness."""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
if not __package__:  # run as a program: the modules beside it are found from the harness's folder
    sys.path.insert(0, str(HOME))
from docker.ort_environment import BuildFailed, install, run, say, swing, write_json  # noqa: E402

REPOSITORY = "https://github.com/microsoft/onnxruntime.git"
# What ORT's build.py needs beside a compiler. CMake stays below 4: what older tags depend on refuses it.
BUILD_TOOLS = (
    "cmake==3.31.10",
    "ninja==1.13.2",
    "packaging==26.4",
    "setuptools==80.9.0",
    "wheel==0.48.0",
)


@dataclass(frozen=True)
class Request:
    """What to build, from where, with what, and into which environment."""

    repository: Path
    url: str
    branch: str
    cuda_home: Path
    tensorrt_home: Path | None
    cudnn_home: Path
    architectures: str
    parallel: int  # compile jobs; 0: as many as there are processors
    environment: Path  # a link that is swung to the new environment once that one works

    @property
    def work(self) -> Path:
        """Where sources, objects and the record of finished stages live between runs."""
        return self.environment.with_name(self.environment.name + ".build")


@dataclass(frozen=True)
class Progress:
    """What is finished of one build: a later run with the same key goes on from here."""

    key: str
    commit: str
    wheel: str = ""
    wheel_sha256: str = ""
    build_arguments: tuple[str, ...] = field(default=())


def parse(argv: Sequence[str]) -> Request:
    """Read the command line; exits with 2 on a wrong request."""
    parser = argparse.ArgumentParser(prog="ort_build_latest.py", description=__doc__)
    add = parser.add_argument
    add(
        "-o",
        "--ort_master_path",
        type=Path,
        required=True,
        help="ORT repository; cloned there if missing",
    )
    add(
        "-t",
        "--tensorrt_home",
        type=Path,
        help="TensorRT's folder; left out, no TensorRT EP is built",
    )
    add("-c", "--cuda_home", type=Path, required=True, help="CUDA's folder")
    add("-b", "--branch", default="main", help="branch, tag or commit (default: main)")
    add("--cudnn_home", type=Path, default=Path("/usr"), help="cuDNN's folder (default: /usr)")
    add(
        "--architectures",
        default="native",
        help="CMAKE_CUDA_ARCHITECTURES (default: this machine's)",
    )
    add("--parallel", type=int, default=0, help="compile jobs (default: one a processor)")
    add("--repository", default=REPOSITORY, help="cloned from here if -o is missing")
    add("--environments", type=Path, default=HOME / ".envs", help="folder of environments")
    add("--name", default="ort", help="the environment's name (default: ort)")
    asked = parser.parse_args(argv)
    for flag, folder in (("-c", asked.cuda_home), ("-t", asked.tensorrt_home)):
        if folder is not None and not folder.is_dir():
            parser.error(
                f"{flag} {folder} is not a folder; name the one that holds include/ and lib/"
            )
    if asked.branch.startswith("-"):
        parser.error(f"-b {asked.branch} is not a branch, tag or commit")
    return Request(
        repository=asked.ort_master_path.absolute(),
        url=asked.repository,
        branch=asked.branch,
        cuda_home=asked.cuda_home.absolute(),
        tensorrt_home=asked.tensorrt_home.absolute() if asked.tensorrt_home else None,
        cudnn_home=asked.cudnn_home.absolute(),
        architectures=asked.architectures,
        parallel=asked.parallel,
        environment=asked.environments.absolute() / asked.name,
    )


def main(argv: Sequence[str]) -> int:
    """Build and install; 0 when the environment holds the commit, 3 when it holds what it held before."""
    request = parse(argv)
    request.work.mkdir(parents=True, exist_ok=True)
    with (request.work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            build(request)
        except BlockingIOError:
            print(
                f"ort_build_latest.py: another build works in {request.work}; wait for it",
                file=sys.stderr,
            )
            return 2
        except (BuildFailed, OSError) as error:
            kept = f"{request.environment} is as it was"
            print(f"ort_build_latest.py: {error}. {kept}", file=sys.stderr)
            return 2
    return 0


def build(request: Request) -> None:
    """Go through the stages that are not finished yet; raises BuildFailed and leaves the old environment."""
    if request.environment.exists() and not request.environment.is_symlink():
        raise BuildFailed(
            f"{request.environment} is not of this program's making; choose another --name"
        )
    commit = fetch(request)
    key = _digest(json.dumps([commit, list(build_arguments(request)), sys.version]))
    new = request.environment.with_name(f"{request.environment.name}@{commit[:12]}-{key[:8]}")
    if (new / "build.json").is_file() and request.environment.resolve() == new.resolve():
        say(f"{request.environment} already holds {commit}")
        return
    progress = _resumed(request, Progress(key, commit))
    if not progress.wheel:
        progress = compile_wheel(request, progress)
    if not (new / "build.json").is_file():
        homes = {
            "cuda_home": str(request.cuda_home),
            "tensorrt_home": str(request.tensorrt_home or ""),
        }
        record = {**asdict(progress), "branch": request.branch, **homes}
        install(Path(progress.wheel), record, new, HOME / "constraints.txt", _tools(request))
    swing(request.environment, new)
    say(
        f"{request.environment} holds {commit}; run ./perf.sh --env {request.environment.name}="
        f"{request.environment / 'bin/python'}"
    )


def fetch(request: Request) -> str:
    """Bring the repository up to date, never touching what is checked out in it, and name the commit."""
    repository = request.repository
    if not (repository / ".git").exists():
        partial = repository.with_name(repository.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        run("clone the repository", ["git", "clone", "--no-checkout", request.url, str(partial)])
        partial.rename(repository)
    git = ["git", "-C", str(repository)]
    run("fetch", [*git, "fetch", "--tags", "--force", "origin"])
    for name in (
        f"refs/remotes/origin/{request.branch}",
        f"refs/tags/{request.branch}",
        request.branch,
    ):
        asked = [*git, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
        found = subprocess.run(asked, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
    raise BuildFailed(f"{repository} has no branch, tag or commit '{request.branch}'; check -b")


def compile_wheel(request: Request, progress: Progress) -> Progress:
    """Check the commit out beside the repository and build its wheel, reusing what earlier builds left."""
    source, output = request.work / "source", request.work / "output"
    if not (source / ".git").exists():
        git = ["git", "-C", str(request.repository), "worktree"]
        shutil.rmtree(source, ignore_errors=True)
        run("forget lost work trees", [*git, "prune"])
        run("check out", [*git, "add", "--detach", str(source), progress.commit])
    git = ["git", "-C", str(source)]
    run("check out", [*git, "checkout", "--force", "--detach", progress.commit])
    run("fetch submodules", [*git, "submodule", "update", "--init", "--recursive"])
    python = _tools(request)
    dist = output / "Release" / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    arguments = build_arguments(request)
    tools = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    tools["CUDACXX"] = str(request.cuda_home / "bin" / "nvcc")
    script = str(source / "tools" / "ci_build" / "build.py")
    run("build", [str(python), script, "--build_dir", str(output), *arguments], env=tools)
    wheels = sorted(dist.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildFailed(
            f"the build left {len(wheels)} wheels in {dist}, not one; read its output above"
        )
    wheel = replace(
        progress,
        wheel=str(wheels[0]),
        wheel_sha256=hashlib.sha256(wheels[0].read_bytes()).hexdigest(),
        build_arguments=arguments,
    )
    write_json(request.work / "progress.json", asdict(wheel))
    return wheel


def build_arguments(request: Request) -> tuple[str, ...]:
    """The arguments of ORT's own tools/ci_build/build.py, but for the folder it builds in."""
    jobs = [str(request.parallel)] if request.parallel else []
    arguments = [
        *("--config", "Release", "--update", "--build", "--build_wheel", "--skip_tests"),
        *("--skip_submodule_sync", "--compile_no_warning_as_error", "--cmake_generator", "Ninja"),
        *("--parallel", *jobs),
        *(
            "--use_cuda",
            "--cuda_home",
            str(request.cuda_home),
            "--cudnn_home",
            str(request.cudnn_home),
        ),
    ]
    if request.tensorrt_home is not None:
        arguments += ["--use_tensorrt", "--tensorrt_home", str(request.tensorrt_home)]
    arguments += ["--cmake_extra_defines", f"CMAKE_CUDA_ARCHITECTURES={request.architectures}"]
    if os.geteuid() == 0:
        arguments.append("--allow_running_as_root")
    return tuple(arguments)


def _tools(request: Request) -> Path:
    """The interpreter that builds, with the build tools in it; apart from the environment that is tested."""
    tools = request.work / f"tools-{_digest(' '.join((*BUILD_TOOLS, sys.version)))[:8]}"
    python = tools / "bin" / "python"
    if not (tools / "whole").is_file():
        shutil.rmtree(tools, ignore_errors=True)
        run("make an environment for the build tools", [sys.executable, "-m", "venv", str(tools)])
        pins = ["--constraint", str(HOME / "constraints.txt")]
        run(
            "install build tools",
            [str(python), "-m", "pip", "install", *pins, "numpy", *BUILD_TOOLS],
        )
        (tools / "whole").touch()
    return python


def _resumed(request: Request, fresh: Progress) -> Progress:
    """The progress of an earlier run on the same commit and arguments, if its wheel is still what it was."""
    path = request.work / "progress.json"
    if not path.is_file():
        return fresh
    stored = json.loads(path.read_text(encoding="utf-8"))
    kept = Progress(**{**stored, "build_arguments": tuple(stored["build_arguments"])})
    wheel = Path(kept.wheel)
    if kept.key != fresh.key or not wheel.is_file():
        return fresh
    whole = hashlib.sha256(wheel.read_bytes()).hexdigest() == kept.wheel_sha256
    return kept if whole else fresh


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
