"""Starts the harness as anyone would, by its command line, for a comparison that needs fresh launches."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from comparison.cell_summary import UnreadableError
from comparison.load import read_description
from perf.request.flag_types import shapes, spell_shape
from perf.request.programs import child_command, child_variables, command_of

WRAPPER = "perf.cli.benchmark_wrapper"
# What decides how a cell is run; the rest of a run's options says which cells, or where results go.
CARRIED = (
    "model_source", "input_data", "workspace", "io_binding", "graph_enablement", "trtexec", "warmup", "seed",
    "tf32", "intra_op_threads", "inter_op_threads", "isolation", "session_config", "cuda_ep_options",
    "trt_ep_options", "shape",
)  # fmt: skip


def run_wrapper(words: Sequence[str], results: Path, run_id: str) -> Path:
    """Run benchmark_wrapper.py to its end and return the run's folder.

    Its output goes to ours. Raises UnreadableError where it left no records.
    """
    where = ["-o", str(results), "--run_id", run_id]
    done = subprocess.run(
        [*child_command(WRAPPER), *words, *where], env=child_variables(), check=False
    )
    folder = results / run_id
    if not any(folder.glob("cells/*/*/*/record.json")):
        raise UnreadableError(
            f"{command_of(WRAPPER)} ended with status {done.returncode} and left no record in {folder}"
        )
    return folder


def repeat_flags(folder: Path, instead: Mapping[str, Any] = MappingProxyType({})) -> list[str]:
    """Flags that run a run's cells again as its run.json says they were run, but for `instead`."""
    options = {**read_description(folder).get("options", {}), **instead}
    return [w for name in CARRIED if name in options for w in _spell_flag(name, options[name])]


def _spell_flag(name: str, value: Any) -> Sequence[str]:
    if not value:  # unset, off, empty: the default
        return []
    match value:
        case True:
            return [f"--{name}"]
        case Mapping() | list() if name == "shape":
            sets = shapes(value)
            return [f"--{name}", *(spell_shape(k, v) for one in sets for k, v in one.items())]
        case Mapping() as pairs:
            return [f"--{name}", ",".join(f"{k}={v}" for k, v in pairs.items())]
        case list():
            return [f"--{name}", *value]
        case _:
            return [f"--{name}", str(value)]
