"""Cells under a debugger: a crash's stack by --backtrace and by the line to paste, and prefixes that pass cells through."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from perf.schema.journal import Stage
from perf.schema.record import Crashed, Passed, Raised
from tests.asking import Said, ask, one_line
from tests.wrapper.test_checked_outputs import SPOILED

QUICK = ("-i", "zoo", "-t", "4", "--launches", "1", "--warmup", "0", "--models", "relu")
GDB = ("--isolation", "spawn", "--exec_prefix", "gdb -batch -ex run -ex bt --args")
CRASHES = {"infer": ("check", Stage.RUN), "time": ("measure_0", Stage.TIME)}


def crashing(home: Path, *words: str, where: str) -> Said:
    """Run an engine that crashes in its check's run, or when it is timed."""
    (home / "environments.toml").write_text(SPOILED, encoding="utf-8")
    return ask(home, *QUICK, "-r", "both", "-e", "spoiled", *words, env={"SPOILED_CRASH": where})


@pytest.mark.parametrize("where", CRASHES)
def test_the_native_stack_of_a_crash_is_in_its_record_by_backtrace(home: Path, where: str) -> None:
    launch, stage = CRASHES[where]
    said = crashing(home, "--backtrace", where=where)
    record = said.records["relu::Spoiled"]
    assert record.outcome == Crashed(stage, "SIGSEGV")
    assert record.launches[-1].name == launch  # and none of gdb's
    frames = {frame.function: frame.library for frame in record.native_stack}
    assert "libffi" in frames["ffi_call"]  # ctypes reads from address 0
    row = said.cells["relu::Spoiled"]
    assert "ffi_call (libffi.so.8)" in row["native_stack"]
    assert "native stack: " in said.out
    assert len(row["native_stack"]) <= 8 < len(record.native_stack)


def test_the_line_below_a_crash_shows_its_native_stack_when_pasted(home: Path) -> None:
    said = crashing(home, where="infer")
    assert said.records["relu::Spoiled"].native_stack == ()
    (line,) = (x.strip() for x in said.out.splitlines() if x.startswith("    gdb "))
    assert line.startswith("gdb -batch -ex run -ex bt --args ")
    assert line.endswith("cell.json check")
    pasted = subprocess.run(
        shlex.split(line), cwd=home, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "SPOILED_CRASH": "infer"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "received signal SIGSEGV" in pasted.stdout
    assert "ffi_call () from" in pasted.stdout


def test_backtrace_without_gdb_is_refused(home: Path) -> None:
    said = ask(home, *QUICK, "--backtrace", env={"PATH": str(home)})
    assert said.status == 2
    assert "--backtrace: no gdb here; install it" in one_line(said)


@pytest.mark.parametrize(
    ("prefix", "status"), [("gdb -batch -ex run -ex bt --args", 1), ("valgrind --tool=none", 0)]
)
def test_a_cell_that_passes_passes_under_a_debugger_too(
    home: Path, prefix: str, status: int
) -> None:
    words = ("-r", "both", "--isolation", "spawn", "--exec_prefix", prefix)
    said = ask(home, *QUICK, *words)
    row = said.cells["relu::CPUExecutionProvider"]
    told = [f"its prefix ended with status {status}"] if status else []
    assert (row["outcome"], row["p50_ms"]) == ("Passed", None)
    assert row["marks"] == ["instrumented", *told]
    assert row["ops_on_ep"] == 1
    log = said.run.launch(said.records[row["cell"]].cell, "measure_0") / "output.log"
    assert ("exited normally" if prefix.startswith("gdb") else "==") in log.read_text()


def test_an_inputs_reference_is_made_beside_a_prefix(home: Path) -> None:
    said = ask(home, *QUICK, "-i", "random", "-r", "validate", *GDB)
    assert said.records["relu::CPUExecutionProvider"].outcome == Passed()


def test_a_crash_under_a_debugger_is_no_pass_and_says_where_to_look(home: Path) -> None:
    said = crashing(home, *GDB, where="infer")
    record = said.records["relu::Spoiled"]
    assert isinstance(record.outcome, Raised)
    assert (record.outcome.stage, record.outcome.kind) == (Stage.RUN, "NoAccount")
    assert "output.log has what gdb saw" in record.outcome.message
    log = said.run.launch(record.cell, "check") / "output.log"
    assert "ffi_call" in log.read_text(errors="replace")
