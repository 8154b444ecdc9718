"""Two runs at once on one machine and into one folder: both complete, neither measures beside the other."""

import subprocess
from pathlib import Path

from perf.core.record import LaunchKind, Passed, Record
from perf.core.run_folder import RunFolder, records
from tests.asking import ask, command

RUN = ("-m", "models", "-o", "result", "-i", "zoo", "-t", "50", "--launches", "3", "-r", "both")


def test_two_runs_into_one_folder_take_turns_and_both_are_right(home: Path) -> None:
    processes = [
        subprocess.Popen(
            command(*RUN, "--run_id", name), cwd=home, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in ("one", "two")
    ]  # fmt: skip
    said = [p.communicate(timeout=120) for p in processes]
    assert [p.returncode for p in processes] == [0, 0], said
    waited = [err for _, err in said if err]
    assert len(waited) == 1
    assert waited[0].startswith("waiting for run ")
    spans = [spanned(records(RunFolder(home / "result", name))) for name in ("one", "two")]
    first, second = sorted(spans)
    assert first[1] <= second[0]  # no launch of one lies within the other
    for name, (out, _) in zip(("one", "two"), said, strict=True):
        assert out.strip().endswith("2 cells: 2 Passed.")
        status = home / "result" / f"benchmark_status_{name}.csv"
        assert status.read_text() == "Model,CPUExecutionProvider\nlinear,Pass\nrelu,Pass\n"
        for record in records(RunFolder(home / "result", name)):
            assert record.outcome == Passed()
            assert record.run_id == name
            assert [len(x.timed.samples_ns) for x in record.launches if x.timed] == [50] * 3


def spanned(of: tuple[Record, ...]) -> tuple[float, float]:
    """From the first launch's beginning to the last one's end, on the machine's one clock."""
    launches = [x for r in of for x in r.launches]
    assert {x.kind for x in launches} == {LaunchKind.CHECK, LaunchKind.MEASURE}
    return (
        min(x.began_s for x in launches),
        max(x.began_s + x.ending.wall_s for x in launches),
    )


def test_two_processes_on_one_run_id_one_is_refused(home: Path) -> None:
    processes = [
        subprocess.Popen(
            command(*RUN, "--run_id", "same"), cwd=home, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [p.communicate(timeout=120) for p in processes]
    assert sorted(p.returncode for p in processes) == [0, 2]
    (err,) = [err for (_, err), p in zip(said, processes, strict=True) if p.returncode == 2]
    assert len(err.strip().splitlines()) == 1
    assert "run same exists in" in err
    assert "choose another --run_id" in err


def test_resuming_a_run_that_still_runs_is_refused(home: Path) -> None:
    with subprocess.Popen(
        command(*RUN, "--run_id", "busy"), cwd=home, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while not (home / "result" / "busy" / "run.json").exists():
            assert process.poll() is None
        said = ask(home, "--resume", "busy")
        out, _ = process.communicate(timeout=120)
    assert said.status == 2
    assert "run busy is being written by another process" in said.err
    assert (process.returncode, "2 Passed." in out) == (0, True)
