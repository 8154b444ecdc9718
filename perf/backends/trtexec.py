"""Standalone TensorRT: through trtexec, a program that times itself, else through the tensorrt package."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from perf.backends import (
    Backend,
    DeviceMemoryExhausted,
    ProbeResult,
    Session,
    TargetSpec,
    Unsupported,
)
from perf.backends import _own_program as own_program
from perf.backends._tensorrt import python_session
from perf.backends._trtexec import output
from perf.backends._trtexec.program import parse_help
from perf.backends._trtexec.session import ProgramLog, ProgramSession
from perf.schema.cell import Cell, Precision

PACKAGES = ("tensorrt", "tensorrt_bindings")  # where there is no trtexec
_DEPTH = 6  # below the workspace: TensorRT-10.x/targets/x86_64-linux-gnu/bin is four
_SKIPPED = frozenset(("result", "models", "node_modules", "site-packages", "proc", "sys", "dev"))
_PACKAGED = Path("/usr/src/tensorrt/bin/trtexec")  # libnvinfer-bin, and NVIDIA's containers


class TrtexecFailedError(Exception):
    """trtexec ended with an error; the message is the error that it printed."""


def find_program(trtexec: str, workspace: str) -> str:
    """The trtexec that a cell with these settings would use, "" for none; for the wrapper's probe."""
    try:
        return find_trtexec(trtexec, workspace, os.environ)
    except Unsupported:
        return ""


def find_trtexec(given: str, workspace: str, environ: Mapping[str, str]) -> str:
    """The absolute path of a trtexec, "" where there is none; raises Unsupported for a bad `given`."""
    on_path = shutil.which(given or "trtexec", path=environ.get("PATH"))
    if given:
        if on_path is None:
            raise Unsupported(f"--trtexec {given}: no such executable file")
        return str(Path(on_path).absolute())
    roots = filter(None, (workspace, environ.get("TENSORRT_HOME", "")))
    below = (path for root in roots for path in _below(Path(root)))
    for path in itertools.chain(below, [Path(on_path)] if on_path else [], [_PACKAGED]):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path.absolute())
    return ""


def _below(root: Path) -> Iterator[Path]:
    """Every bin/trtexec below a folder, nearest first; links are not followed, results not searched."""
    level = [root]
    for _ in range(_DEPTH):
        yield from (folder / "trtexec" for folder in level if folder.name == "bin")
        level = [below for folder in level for below in _folders(folder)]


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
    except OSError:  # unreadable, or gone: searched no further
        return []
    return sorted(p for p in found if p.name not in _SKIPPED and not p.name.startswith("."))


def library_path(program: str, environ: Mapping[str, str]) -> str:
    """LD_LIBRARY_PATH with the lib folder beside a tarball's bin in front, where there is one."""
    beside = Path(program).resolve().parent.parent / "lib"
    given = environ.get("LD_LIBRARY_PATH", "")
    if not any(beside.glob("libnvinfer.so*")):
        return given
    return os.pathsep.join(p for p in (str(beside), given) if p)


@contextlib.contextmanager
def open_session(cell: Cell, launch_dir: Path) -> Iterator[Session]:
    """Build or load the engine, by trtexec or else by the tensorrt package; Unsupported for neither."""
    if path := find_trtexec(cell.trtexec, cell.workspace, os.environ):
        text = run_program((path, "--help"), launch_dir, check=False, show=False).text
        session = ProgramSession(cell, launch_dir, parse_help(path, text), run_program)
        session.create()
        yield session
    else:
        with python_session.open_session(cell, launch_dir, PACKAGES) as package_session:
            yield package_session


def run_program(
    command: Sequence[str], launch_dir: Path, *, check: bool = True, show: bool = True
) -> ProgramLog:
    """Run trtexec in a launch's folder and copy its output to the launch's log; raises for its failure.

    It dies with the worker: it has the worker's process group, which the wrapper kills, and asks the kernel
    to be killed with its parent. A signal that ends it ends the worker too, so that the wrapper sees it.
    """
    if show:
        print("+", *command, flush=True)
    lines: list[str] = []
    at_s: list[float] = []
    with subprocess.Popen(
        command,
        cwd=launch_dir,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LD_LIBRARY_PATH": library_path(command[0], os.environ)},
        preexec_fn=own_program.die_with_parent(os.getpid()),
    ) as child:
        try:
            for raw in child.stdout or ():
                at_s.append(time.monotonic())
                lines.append(raw.decode("utf-8", errors="replace"))
                if show:
                    sys.stdout.write(lines[-1])
            status = child.wait()
        finally:
            sys.stdout.flush()
            child.kill()  # does nothing to one that has been waited for
    text = "".join(lines)
    if check:
        _raise_for_failure(status, text)
    return ProgramLog(text, tuple(at_s))


def _raise_for_failure(status: int, text: str) -> None:
    own_program.end_as_it_did("trtexec", status)
    if status == 0 and not output.reports_failure(text):
        return
    if error := output.memory_error(text):
        raise DeviceMemoryExhausted(error)
    reason = output.errors_text(text) or " ".join(text.split())[-300:] or "it printed nothing"
    raise TrtexecFailedError(f"trtexec ended with status {status}: {reason}")


def missing(found: ProbeResult) -> str:
    """It needs the program, or else the package; a board is seen to when a cell is opened."""
    packaged = any(v.startswith("tensorrt") and "rtx" not in v for v in found.versions)
    if found.trtexec or packaged:
        return ""
    return (
        "no trtexec (--trtexec, below -w, TENSORRT_HOME, PATH) and no tensorrt package there; install "
        "NVIDIA's libnvinfer-bin or tarball, or tensorrt with cuda-bindings"
    )


BACKEND = Backend(
    targets=(
        TargetSpec("Standalone_TRT", Precision.FP32, ("TRTFp32", "trtexec")),
        TargetSpec("Standalone_TRT", Precision.FP16, ("TRTFp16", "trtexec_fp16")),
    ),
    open=open_session,
    missing=missing,
    builds=True,
    needs_gpu=True,
    program=find_program,
    half_wanted=True,  # TensorRT 10 has a builder flag; 11 builds what the converted model says
    # like is built like: the EP's workspace and builder level hold here too
    options_flag="trt_ep_options",
    takes_profiles=True,
)
