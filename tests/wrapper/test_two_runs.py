"""Two runs at once on one machine and into one folder: both complete, neither measures beside the other."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perf.results.run_folder import RunFolder, read_records
from perf.schema.record import LaunchKind, Passed, Record
from tests.asking import QUICK, ROOT, ask, command, complaints

RUN = ("-m", "models", "-o", "result", "-i", "zoo", "-t", "50", "--launches", "3", "-r", "both")
HOLD = (
    "import sys; from perf.machine.machine_lock import MachineLock\n"
    "with MachineLock.measuring('other'): print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases of this test alone, so that who waits waits for what the test holds."""
    folder = tmp_path / "leases"
    folder.mkdir()
    monkeypatch.setenv("EP_PERF_LEASES", str(folder))


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """The machine is measured by another process for as long as this lasts."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate("")


def begun(home: Path, run_id: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(*RUN, "--run_id", run_id), cwd=home, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def waiting(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    while not complaints(line := process.stderr.readline()) and line:
        pass
    return line


@pytest.mark.usefixtures("leases")
def test_two_runs_into_one_folder_take_turns_and_both_are_right(home: Path) -> None:
    names = ("one", "two")
    with busy():
        processes = [begun(home, name) for name in names]
        for process in processes:
            assert waiting(process).startswith("waiting for run other (pid ")
    said = [p.communicate(timeout=120) for p in processes]
    assert [p.returncode for p in processes] == [0, 0], said
    first, second = sorted(spanned(read_records(RunFolder(home / "result", n))) for n in names)
    assert first[1] <= second[0]  # no launch of one lies within the other
    for name, (out, _) in zip(names, said, strict=True):
        assert out.strip().endswith("2 cells: 2 Passed.")
        status = home / "result" / f"benchmark_status_{name}.csv"
        assert status.read_text() == "Model,CPUExecutionProvider\nlinear,Pass\nrelu,Pass\n"
        for record in read_records(RunFolder(home / "result", name)):
            assert record.outcome == Passed()
            assert record.run_id == name
            assert [len(x.timed.samples_ns) for x in record.launches if x.timed] == [50] * 3


@pytest.mark.usefixtures("leases")
def test_a_diagnosis_waits_for_a_run_that_measures(home: Path) -> None:
    ask(home, *QUICK, "--models", "relu")
    with busy():
        process = subprocess.Popen(
            [sys.executable, "-m", "ep_perf", "diagnose", "relu::CPUExecutionProvider"], cwd=home,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert waiting(process).startswith("waiting for run other (pid ")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "relu::CPUExecutionProvider  Passed\n", "")


def spanned(of: tuple[Record, ...]) -> tuple[float, float]:
    """From the first launch's beginning to the last one's end, on the machine's one clock."""
    launches = [x for r in of for x in r.launches]
    assert {x.kind for x in launches} == {LaunchKind.CHECK, LaunchKind.MEASURE}
    return (
        min(x.began_s for x in launches),
        max(x.began_s + x.ending.wall_s for x in launches),
    )


def test_of_two_processes_on_one_run_id_one_is_refused(home: Path) -> None:
    processes = [begun(home, "same") for _ in range(2)]
    said = [p.communicate(timeout=120) for p in processes]
    assert sorted(p.returncode for p in processes) == [0, 2]
    (err,) = [err for (_, err), p in zip(said, processes, strict=True) if p.returncode == 2]
    assert len(err.strip().splitlines()) == 1
    assert "run same exists in" in err
    assert "choose another --run_id" in err


@pytest.mark.usefixtures("leases")
def test_resuming_a_run_that_still_runs_is_refused(home: Path) -> None:
    with busy():
        process = begun(home, "busy")
        assert waiting(process).startswith("waiting for run other")
        said = ask(home, "--resume", "busy")
    out, _ = process.communicate(timeout=120)
    assert said.status == 2
    assert "run busy is being written by another process" in said.err
    assert (process.returncode, "2 Passed." in out) == (0, True)


@pytest.mark.usefixtures("leases")
def test_a_signal_reaches_a_run_that_waits(home: Path) -> None:
    with busy():
        process = begun(home, "one")
        assert waiting(process).startswith("waiting for run other (pid ")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 143


@pytest.mark.usefixtures("leases")
def test_a_run_of_which_nothing_can_run_waits_for_nobody(home: Path) -> None:
    with busy():
        said = ask(home, "-e", "CUDAExecutionProvider")
    assert said.status == 1
    assert (
        said.err
        == "error: a target that was named cannot run here; --list says what would fix it\n"
    )
    assert {r["CUDAExecutionProvider"] for r in said.table("status")} == {"Skipped"}
