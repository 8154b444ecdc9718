"""Slurm's own programs, asked: sbatch hands tasks in, squeue says what became of them.

squeue alone is enough, so no accounting database is needed: what a task finished lies in its shard's folder.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from perf.fleet.dispatch import EngineUnreachable, ShardState
from perf.request.options import BadRequestError
from perf.results import run_folder
from perf.schema import atomic_file
from perf.schema.version import stamp

TIMEOUT_S = 120.0  # Slurm's own MessageTimeout is 10 s, and its programs try for some times that
HELD = "REQUEUE_HOLD"  # a task that Slurm requeued five times, and then holds for ever
FIELDS = "ArrayJobID:|,ArrayTaskID:|,State:|,exit_code:|"
ENDED_BADLY = (1, 2, 3)  # exit statuses of ours that would come again
# Slurm's words; every other one is of a task that is in flight.
STATES: Mapping[str, ShardState] = {
    "COMPLETED": ShardState.ENDED,
    "NODE_FAIL": ShardState.HOST_LOST,
    "BOOT_FAIL": ShardState.HOST_LOST,
    "OUT_OF_MEMORY": ShardState.HOST_LOST,
    "PREEMPTED": ShardState.PREEMPTED,
    "TIMEOUT": ShardState.ENDED,
    "DEADLINE": ShardState.ENDED,
    "CANCELLED": ShardState.CANCELLED,
}


@dataclass
class SlurmQueue:
    """The tasks of one fleet's run: array jobs, a task for each shard."""

    script: Path
    ledger: Path  # the jobs that were handed in, so that asking again finds them
    at_once: int  # tasks that may run at one time
    jobs: list[int] = field(default_factory=list)
    _dropped: set[tuple[int, int]] = field(default_factory=set)  # tasks that Slurm held, cancelled

    def __post_init__(self) -> None:
        told = run_folder.read_json(self.ledger)
        if isinstance(told, dict):
            self.jobs = [int(j) for j in told.get("jobs", ())]

    def submit(self, shards: Sequence[int]) -> None:
        """One array job with a task for each shard; raises BadRequestError where Slurm refuses it."""
        done = _query(
            ["sbatch", "--parsable", f"--array={array_of(shards, self.at_once)}", str(self.script)]
        )
        if done.returncode:
            line = _last_line(done.stderr)
            if _is_unreachable(line):
                raise EngineUnreachable(line)
            told = line.removeprefix("sbatch: error: ")
            raise BadRequestError(f"sbatch: {told}; correct the flags ({self.script})")
        self.jobs.append(int(done.stdout.strip().partition(";")[0]))
        atomic_file.write_json(self.ledger, stamp({"engine": "slurm", "jobs": self.jobs}))

    def poll(self) -> Mapping[int, ShardState]:
        """What squeue says of the latest task of each shard, one in flight before all others."""
        if not self.jobs:
            return {}
        done = _query(
            ["squeue", "--noheader", "--array", "--states=all", "--me", f"--Format={FIELDS}"]
        )
        if done.returncode:
            raise EngineUnreachable(_last_line(done.stderr))
        out: dict[int, ShardState] = {}
        for task in sorted(parse_queue(done.stdout), key=lambda t: (t.job, t.shard)):
            if task.job in self.jobs and out.get(task.shard) is not ShardState.IN_FLIGHT:
                out[task.shard] = self._state_of(task)
        return out

    def _state_of(self, task: "Task") -> ShardState:
        """A task's state; one that Slurm would hold for ever is taken out of its queue, and is lost."""
        name = (task.job, task.shard)
        if task.word == HELD and name not in self._dropped:
            _query(["scancel", f"{task.job}_{task.shard}"])
            self._dropped.add(name)
        return ShardState.HOST_LOST if name in self._dropped else task.state


@dataclass(frozen=True)
class Task:
    """A line of squeue's."""

    job: int
    shard: int
    word: str  # Slurm's for its state
    exit_code: str  # as wait(2) tells it

    @property
    def state(self) -> ShardState:
        """What that word means for its shard."""
        if self.word != "FAILED":
            return STATES.get(self.word, ShardState.IN_FLIGHT)
        code = int(self.exit_code) if self.exit_code.isdecimal() else 0
        return ShardState.REFUSED if code >> 8 in ENDED_BADLY else ShardState.HOST_LOST


def parse_queue(text: str) -> Iterator[Task]:
    """Every line that is a task's."""
    for line in text.splitlines():
        job, task, *rest = [*(part.strip() for part in line.split("|")), ""]
        if job.isdecimal() and task.isdecimal():
            word, exit_code, *_ = [*rest, "", ""]
            yield Task(int(job), int(task), word, exit_code)


def array_of(shards: Sequence[int], at_once: int) -> str:
    """Slurm's spelling of a set of tasks: 1-4,7%2."""
    runs: list[list[int]] = []
    for shard in sorted(shards):
        if runs and shard == runs[-1][-1] + 1:
            runs[-1][1:] = [shard]
        else:
            runs.append([shard])
    return ",".join("-".join(map(str, r)) for r in runs) + f"%{at_once}"


def other_nodes(named: Sequence[str]) -> tuple[str, ...]:
    """Nodes that Slurm has besides those named; raises BadRequestError for one that it does not have."""
    done = _query(["sinfo", "--noheader", "--Node", "--format=%N"])
    if done.returncode:
        raise EngineUnreachable(_last_line(done.stderr))
    known = set(done.stdout.split())
    if strangers := sorted(set(named) - known):
        raise BadRequestError(
            f"--nodes {strangers[0]}: Slurm has no such node; it has {', '.join(sorted(known)[:8])}"
        )
    return tuple(sorted(known - set(named)))


def expand_nodes(text: str) -> tuple[str, ...]:
    """Names of a host list such as n[1-3],big1; raises BadRequestError."""
    if not re.search(r"[\[,]", text):
        return (text,)
    done = _query(["scontrol", "show", "hostnames", text])
    if done.returncode:
        raise BadRequestError(f"--nodes {text}: {_last_line(done.stderr)}")
    return tuple(done.stdout.split())


def _query(argv: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise BadRequestError(
            f"{argv[0]}: no such program; run this where Slurm's programs are, on a login node"
        ) from None
    except subprocess.TimeoutExpired:
        raise EngineUnreachable(f"{argv[0]} gave no answer within {TIMEOUT_S:g} s") from None


def _is_unreachable(line: str) -> bool:
    """Whether it is the controller that is away, and no fault of the request."""
    return "Unable to contact slurm controller" in line or "Socket timed out" in line


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no word of why"])[-1]
