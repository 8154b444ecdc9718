"""What squeue and sbatch say, read as states of shards; Slurm's own words, as it really prints them."""

import os
import stat
from pathlib import Path

import pytest

from perf.fleet.dispatch import EngineUnreachable, ShardState
from perf.fleet.slurm_queue import SlurmQueue, array_of, parse_queue
from perf.request.options import BadRequestError

# squeue --noheader --array --states=all --Format=ArrayJobID:|,ArrayTaskID:|,State:|,exit_code:|
PRINTED = """\
1|1|COMPLETED|0|
1|2|RUNNING|0|
1|3|PENDING|0|
1|4|FAILED|512|
1|5|FAILED|9|
1|6|FAILED|35072|
1|7|NODE_FAIL|0|
1|8|PREEMPTED|0|
1|9|CANCELLED|15|
1|10|TIMEOUT|0|
1|11|COMPLETING|0|
1|12|FAILED|256|
1|13|REQUEUED|0|
1|14|OUT_OF_MEMORY|0|
7|N/A|RUNNING|0|
slurm_load_jobs error
"""
STATES = {
    1: ShardState.ENDED, 2: ShardState.IN_FLIGHT, 3: ShardState.IN_FLIGHT, 4: ShardState.REFUSED,
    5: ShardState.HOST_LOST, 6: ShardState.HOST_LOST, 7: ShardState.HOST_LOST, 8: ShardState.PREEMPTED,
    9: ShardState.CANCELLED, 10: ShardState.ENDED, 11: ShardState.IN_FLIGHT, 12: ShardState.REFUSED,
    13: ShardState.IN_FLIGHT, 14: ShardState.HOST_LOST,
}  # fmt: skip


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins for Slurm's programs, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def stand_in(folder: Path, name: str, out: str = "", status: int = 0, err: str = "") -> None:
    path = folder / name
    (folder / f"{name}.out").write_text(out)
    path.write_text(
        f"#!/bin/sh\necho \"$@\" >> {folder}/{name}.asked\ncat {folder}/{name}.out\necho '{err}' >&2\nexit {status}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def queue(tmp_path: Path, *jobs: int) -> SlurmQueue:
    return SlurmQueue(tmp_path / "fleet.sbatch", tmp_path / "fleet.json", 2, list(jobs))


def test_every_word_of_slurm_s_has_its_meaning() -> None:
    assert {t.shard: t.state for t in parse_queue(PRINTED)} == STATES


def test_the_latest_job_of_a_shard_counts_and_one_in_flight_before_all(
    tmp_path: Path, programs: Path
) -> None:
    stand_in(
        programs,
        "squeue",
        "1|1|NODE_FAIL|0|\n2|1|COMPLETED|0|\n1|2|RUNNING|0|\n2|2|FAILED|9|\n9|3|RUNNING|0|\n",
    )
    told = queue(tmp_path, 1, 2).poll()
    assert told == {1: ShardState.ENDED, 2: ShardState.IN_FLIGHT}


def test_a_task_that_slurm_holds_is_taken_out_and_counts_as_lost(
    tmp_path: Path, programs: Path
) -> None:
    """Slurm holds a task that it requeued five times, for ever: nobody would run it."""
    stand_in(programs, "squeue", "1|4|REQUEUE_HOLD|1|\n")
    stand_in(programs, "scancel")
    mine = queue(tmp_path, 1)
    assert mine.poll() == {4: ShardState.HOST_LOST}
    assert (programs / "scancel.asked").read_text() == "1_4\n"
    (programs / "squeue.out").write_text("1|4|CANCELLED|15|\n")
    assert mine.poll() == {4: ShardState.HOST_LOST}  # by us, and by no person
    (programs / "squeue.out").write_text("1|4|CANCELLED|15|\n2|4|PENDING|0|\n")
    mine.jobs.append(2)
    assert mine.poll() == {4: ShardState.IN_FLIGHT}


def test_jobs_are_remembered_so_that_asking_again_finds_them(
    tmp_path: Path, programs: Path
) -> None:
    stand_in(programs, "sbatch", "12;cluster\n")
    queue(tmp_path).submit([1, 2, 3, 7])
    assert (
        programs / "sbatch.asked"
    ).read_text() == f"--parsable --array=1-3,7%2 {tmp_path}/fleet.sbatch\n"
    assert queue(tmp_path).jobs == [12]


def test_a_controller_that_is_away_is_asked_again_and_a_refusal_is_told(
    tmp_path: Path, programs: Path
) -> None:
    stand_in(
        programs,
        "squeue",
        "",
        1,
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    )
    with pytest.raises(EngineUnreachable, match="Unable to contact"):
        queue(tmp_path, 1).poll()
    away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    stand_in(programs, "sbatch", "", 1, away)
    with pytest.raises(EngineUnreachable):
        queue(tmp_path).submit([1])
    stand_in(programs, "sbatch", "", 1, "sbatch: error: invalid partition specified: nope")
    with pytest.raises(BadRequestError, match="invalid partition specified: nope"):
        queue(tmp_path).submit([1])


def test_without_slurm_s_programs_it_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadRequestError, match="squeue: no such program; run this where Slurm's"):
        queue(tmp_path, 1).poll()


@pytest.mark.parametrize(
    ("shards", "text"),
    [((1,), "1%2"), ((1, 2), "1-2%2"), ((3, 1, 2, 9), "1-3,9%2"), ((1, 3, 5, 6), "1,3,5-6%2")],
)
def test_tasks_are_spelled_as_slurm_does(shards: tuple[int, ...], text: str) -> None:
    assert array_of(shards, 2) == text
