"""A run killed at any point is finished by --resume as if nothing had happened, and leaves no survivor."""

import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perf.schema.record import NotRun
from tests import models
from tests.asking import Said, ask, command, complaints
from tests.conftest import made_home

RUN = ("-i", "zoo", "-t", "6", "--launches", "3", "-r", "both", "--seed", "7")
# What a clock, a memory or the calendar tells; every other column must not know of the kill.
MEASURED = re.compile(
    r"(_ms|_us|_s|_mib|_pct|_per_s|_per_w|_w|_mhz|_c)$|_ms_|^(run_id|label|log|marks|finished_at|cpu_gain.*|"
    r"preempted_launches|ratio_of_time_on_ep|launch_level|launch_.*_ms)$"
)


def steady(said: Said) -> dict[str, dict[str, Any]]:
    return {
        cell: {k: v for k, v in row.items() if not MEASURED.search(k)}
        for cell, row in said.cells.items()
    }


def begun(
    home: Path, *words: str, before: Callable[[], None] | None = None
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command("-m", "models", "-o", "result", *words), cwd=home, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before,
    )  # fmt: skip


def milestones(home: Path) -> int:
    """How far a run is: its journals, launches and records on disk."""
    names = {"journal.jsonl", "launch.json", "record.json"}
    # not rglob: it raises where a folder is deleted under its feet, and a run deletes some
    return sum(len(names & set(files)) for _, _, files in os.walk(home / "result"))


def wrote(root: Path, pattern: str) -> bool:
    """Whether a run has written a file whose path ends so."""
    return any(
        Path(folder, name).match(pattern) for folder, _, files in os.walk(root) for name in files
    )


def stop(home: Path, process: "subprocess.Popen[str]", number: int, at: Callable[[], bool]) -> str:
    """Send a signal as soon as `at()` holds; returns what the wrapper had said on stderr."""
    send(process, number, at)
    _, err = process.communicate(timeout=60)
    return err


def send(process: "subprocess.Popen[str]", number: int, at: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and not at():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(number)


def survivors(home: Path, wrapper: int) -> list[str]:
    """Processes that work in the run's folder, or hosts that serve its wrapper."""
    out = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            where = (process / "cwd").readlink()
        except OSError:
            continue
        serves = b"perf.worker.fork_server" in words and str(wrapper).encode() in words
        if serves or where.is_relative_to(home / "result"):
            out.append(f"{process.name} {words}")
    return out


def assert_gone(home: Path, wrapper: int) -> None:
    deadline = time.monotonic() + 20
    while left := survivors(home, wrapper):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def samples(home: Path) -> dict[Path, bytes]:
    """Finished launches and the journals they came from."""
    done = [p.parent for p in (home / "result").rglob("launch.json")]
    files = [f / name for f in done for name in ("launch.json", "journal.jsonl")]
    return {p: p.read_bytes() for p in files}


@pytest.fixture(scope="module", params=["zoo", "random"])
def uninterrupted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Said, str]:
    """A whole run, and what it was fed: stored data (one cell is wrong), or random (with references)."""
    home = made_home(tmp_path_factory.mktemp("whole") / "home")
    models.linear(home / "models" / "wrong", error=1.0)
    return ask(home, *RUN, "-i", request.param), request.param


def test_a_run_killed_again_and_again_ends_as_if_it_had_not_been(
    tmp_path: Path, uninterrupted: tuple[Said, str]
) -> None:
    whole, fed = uninterrupted
    rng = random.Random(fed)
    home = made_home(tmp_path / "home")
    models.linear(home / "models" / "wrong", error=1.0)
    process = begun(home, *RUN, "-i", fed)
    kept: dict[Path, bytes] = {}
    total = milestones(whole.results.parent)
    for _ in range(4):
        wanted = milestones(home) + rng.randint(1, total // 4)
        started = home / "result" / "latest" / "run.json"

        def reached(wanted: int = wanted, started: Path = started) -> bool:
            return started.exists() and milestones(home) >= wanted

        stop(home, process, signal.SIGKILL, reached)
        assert_gone(home, process.pid)
        now = samples(home)
        assert {p: now.get(p) for p in kept} == kept  # what had finished stays, byte for byte
        kept = now
        process = begun(home, "--resume")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, complaints(err)) == (0, "")
    assert kept
    said = Said(0, out, err, home / "result")
    assert {p: p.read_bytes() for p in kept} == kept
    assert steady(said) == steady(whole)
    if fed == "zoo":  # the command to paste is that of the run, not of its resumption
        (again,) = [x for x in out.splitlines() if "--rerun wrong::CPUExecutionProvider" in x]
        assert "--seed 7" in again
        assert "--resume" not in again
    assert list(said.cells) == list(whole.cells)
    orders = [x.order for r in said.records.values() for x in r.launches]
    assert len(set(orders)) == len(orders)  # neighbours in time are told apart across the kills
    assert_gone(home, process.pid)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_its_tables_and_a_row_for_what_was_not_run(
    home: Path, number: signal.Signals, status: int
) -> None:
    process = begun(home, *RUN, "--jobs", "1", "-t", "20000")  # long enough to be met
    done = home / "result"
    stop(home, process, number, lambda: wrote(done, "measure_1/journal.jsonl"))
    assert process.returncode == status
    assert_gone(home, process.pid)
    said = Said(status, "", "", done)
    rows = said.table("status")
    assert [r["Model"] for r in rows] == ["linear", "relu"]
    assert "NotRun" in {r["CPUExecutionProvider"] for r in rows}
    reasons = {c["detail"] for c in said.cells.values() if c["status"] == "NotRun"}
    assert reasons == {"interrupted"}
    again = ask(home, "--resume")
    assert again.status == 0
    assert {c["status"] for c in again.cells.values()} == {"Pass"}
    assert {len(r.launches) for r in again.records.values()} == {4}


def go_to_the_background() -> None:
    """What `nohup` and a script's `&` do to the program that they start."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_a_run_in_the_background_outlives_ctrl_c_and_its_terminal(home: Path) -> None:
    process = begun(home, *RUN, "-t", "2000", before=go_to_the_background)
    for number in (signal.SIGINT, signal.SIGHUP):
        send(process, number, lambda: wrote(home / "result", "measure_0/journal.jsonl"))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, complaints(err)) == (0, "")
    said = Said(0, out, err, home / "result")
    assert {c["status"] for c in said.cells.values()} == {"Pass"}


def test_a_spawned_worker_dies_with_a_killed_wrapper(home: Path) -> None:
    process = begun(home, *RUN, "--isolation", "spawn", "-t", "100000", "--models", "relu")
    stop(
        home, process, signal.SIGKILL,
        lambda: wrote(home / "result", "measure_0/journal.jsonl"),
    )  # fmt: skip
    assert_gone(home, process.pid)


def interrupted(home: Path, *words: str) -> None:
    """A run killed while its last model is being measured."""
    process = begun(home, *RUN, *words)
    stop(
        home, process, signal.SIGKILL,
        lambda: wrote(home / "result", "cells/relu/*/*/measure_0/launch.json"),
    )  # fmt: skip


def test_a_changed_model_is_asked_again_and_the_others_are_not(home: Path) -> None:
    interrupted(home)
    kept = samples(home)
    changed = home / "models" / "relu" / "model.onnx"
    changed.write_bytes(changed.read_bytes().replace(b"rectify", b"rektify"))
    said = ask(home, "--resume")
    assert said.status == 0
    assert {c["status"] for c in said.cells.values()} == {"Pass"}
    assert (
        len(list((home / "result").glob("latest/cells/relu/*/*"))) == 2
    )  # the old digest, and the new
    assert len(list((home / "result").glob("latest/cells/linear/*/*"))) == 1
    assert {p: p.read_bytes() for p in kept} == kept
    digest = said.cells["relu::CPUExecutionProvider"]["digest"]
    assert (
        said.run.root / "cells" / "relu" / "CPUExecutionProvider" / digest / "measure_2"
    ).is_dir()


def test_changed_data_are_fed_and_not_what_was_prepared_before(home: Path) -> None:
    interrupted(home)
    donor = models.relu(home / "donor", shape=(2, 8), sets=5) / "test_data_set_4"
    for name in ("input_0.pb", "output_0.pb"):
        target = home / "models" / "relu" / "test_data_set_0" / name
        target.write_bytes((donor / name).read_bytes())
    before = {p.parent.name for p in (home / "result").glob("*/inputs/relu/*/prepare.json")}
    said = ask(home, "--resume")
    assert said.status == 0
    after = {p.parent.name for p in (home / "result").glob("*/inputs/relu/*/prepare.json")}
    assert len(after - before) == 1
    cell = said.records["relu::CPUExecutionProvider"].cell
    assert Path(cell.sets[0].inputs[0].path).parents[1].name in after - before


def test_a_changed_environment_is_asked_again(home: Path) -> None:
    interrupted(home)
    (home / "environments.toml").write_text(
        '[current]\npython = "current"\nenv = { OMP_NUM_THREADS = "1" }\n', encoding="utf-8"
    )
    said = ask(home, "--resume")
    assert said.status == 0
    assert len(list((home / "result").glob("latest/cells/linear/*/*"))) == 2
    assert {c["status"] for c in said.cells.values()} == {"Pass"}


def test_resuming_a_finished_run_runs_nothing_and_writes_the_same_tables(
    uninterrupted: tuple[Said, str],
) -> None:
    whole, _ = uninterrupted
    before = samples(whole.results.parent)
    rows = whole.cells
    said = ask(whole.results.parent, "--resume", whole.run.run_id, "-t", "6")
    assert said.status == 0
    assert samples(whole.results.parent) == before
    assert said.cells == rows


def test_a_rerun_that_was_killed_resumes_its_own_cells(home: Path) -> None:
    models.linear(home / "models" / "wrong", error=1.0)
    first = ask(home, *RUN, "--run_id", "first")
    assert first.cells["wrong::CPUExecutionProvider"]["outcome"] == "Mismatched"
    process = begun(home, *RUN, "--rerun", "failed", "--run_id", "second")
    second = home / "result" / "second"
    stop(home, process, signal.SIGKILL, lambda: wrote(second, "check/journal.jsonl"))
    assert json.loads((second / "run.json").read_text())["cells"] == [
        "wrong::CPUExecutionProvider"
    ]
    said = ask(home, "--resume", "second")
    assert said.status == 0
    assert list(said.cells) == ["wrong::CPUExecutionProvider"]


def test_an_interrupted_run_ends_with_the_command_that_finishes_it(home: Path) -> None:
    process = begun(home, *RUN, "--run_id", "cut")
    while not list((home / "result").rglob("check/*.jsonl")):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    (line,) = (x for x in out.splitlines() if x.startswith("interrupted; "))
    pasted = line.removeprefix("interrupted; what is left is run by: ")
    assert pasted.endswith(" --resume cut")
    done = subprocess.run(
        ["bash", "-c", pasted], cwd=home, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "interrupted" not in done.stdout
    said = Said(0, done.stdout, "", home / "result")
    assert {c["status"] for c in said.cells.values()} == {"Pass"}


def test_what_was_not_run_is_never_kept_as_a_record(home: Path) -> None:
    process = begun(home, *RUN)
    stop(home, process, signal.SIGINT, lambda: wrote(home / "result", "check/*.jsonl"))
    said = Said(process.returncode, "", "", home / "result")
    assert not any(isinstance(r.outcome, NotRun) for r in said.records.values())
