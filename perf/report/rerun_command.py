"""Lines to paste that run one cell of a run again, as it was or, after a crash, in gdb."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from perf.request.environments import QUIET
from perf.request.locations import CODE, IN_CLONE
from perf.request.options import to_argv
from perf.request.programs import from_here, script_command
from perf.results.run_folder import RunFolder
from perf.schema.record import Crashed, Record

# Variables that change what an engine does; not those that say where it lies or which version it is, nor what
# an image asks of a container's runtime (NVIDIA_REQUIRE_CUDA).
_OF_ENGINES = re.compile(
    r"(ORT_|ONNX|CUDA_|CUDNN_|CUBLAS|TENSORRT|TRT_|OPENVINO|OV_|OMP_|KMP_|GOMP_|MKL_)"
    r"\w*(?<!_VERSION)(?<!_HOME)(?<!_PATH)(?<!_ROOT)(?<!_DIR)|NVIDIA_TF32_OVERRIDE|LD_LIBRARY_PATH|LD_PRELOAD"
)
# of no use to run a cell again
OF_ONE_RUN = (
    "resume", "run_id", "shard", "shard_costs", "host_canary", "dry_run", "json", "list", "fail_on",
    "strict", "expected", "against", "save_baseline", "export", "max_minutes",
)  # fmt: skip


def format_rerun_command(record: Record, command: Sequence[str]) -> str:
    """A command to paste that runs just this cell again.

    Variables of environments.toml come with the cell; of those that this process has, it repeats what the
    shell that it is pasted into lacks.
    """
    c = record.cell
    given = to_argv(command[1:], ("ep_list", "ep", "ab", "models", "select", "rerun", *OF_ONE_RUN))
    argv = [*script_command(command[0]), *given, "-e", c.target.label, "--rerun", c.id]
    theirs = _variables_of_the_shell()
    missing = [
        f"{name}={shlex.quote(value)}"
        for name, value in os.environ.items()
        if _OF_ENGINES.fullmatch(name)
        and theirs.get(name) != value
        and name not in {*c.environment.variables, *QUIET}
    ]
    return " ".join([*missing, *(shlex.quote(a) for a in argv)])


def _variables_of_the_shell() -> Mapping[str, str]:
    """What the session's first process was started with: a shell, or a container's program; {} untold."""
    told = b""
    with suppress(OSError):
        told = Path(f"/proc/{os.getsid(0)}/environ").read_bytes()
    pairs = (os.fsdecode(pair).partition("=") for pair in told.split(b"\0") if pair)
    return {name: value for name, _, value in pairs}


def format_gdb_command(record: Record, folder: RunFolder) -> str:
    """A command to paste that repeats a crash in gdb and shows its native stack; "" for other outcomes.

    The stored cell runs in gdb's one process, with the variables of its environment.
    """
    if not isinstance(record.outcome, Crashed) or not record.launches:
        return ""
    c, kind = record.cell, record.launches[-1].kind.value
    start = [from_here(CODE / "benchmark.py")] if IN_CLONE else ["-m", "perf.cli.benchmark"]
    variables = dict(c.environment.variables) | ({} if IN_CLONE else {"PYTHONPATH": str(CODE)})
    words = ["gdb", "-batch", "-ex", "run", "-ex", "bt", "--args", c.environment.python, *start]
    words += [from_here(folder.cell(c) / "cell.json"), kind]
    settings = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    return " ".join([*settings, *(shlex.quote(w) for w in words)])
