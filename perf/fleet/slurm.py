"""A run on many hosts through Slurm: `python -m perf.fleet.slurm --nodes 8 --run_id ID [run's own flags]`.

It renders and submits one array job, waits for it, hands in again what was lost, and merges. Ended early, or
asked again, it goes on where it was: the jobs are Slurm's, and what is finished lies in the shards' folders.
"""

import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.fleet.dispatch import Dispatcher, ShardState, fates_by_model
from perf.fleet.fleet_request import FleetRequest, make_parser, read_request
from perf.fleet.merge import describe_merge, merge_runs
from perf.fleet.program import Parser, report
from perf.fleet.slurm_queue import SlurmQueue, expand_nodes, other_nodes
from perf.planning.choose_models import read_at
from perf.request.environments import HARNESS
from perf.request.options import BadRequestError
from perf.schema import atomic_file

OK, INCOMPLETE = 0, 1
HOUR_S = 3600.0


@dataclass(frozen=True)
class Nodes:
    """How many nodes may work at once, and which ones must not."""

    count: int
    kept_out: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """The program; returns its exit status."""
    words = sys.argv[1:] if argv is None else argv
    return report(lambda: run(words))


def run(words: Sequence[str]) -> int:
    """Serve a command line; the exit status. Raises BadRequestError, ModelListError, OSError."""
    args, rest = _parser().parse_known_args(list(words))
    nodes = read_nodes(args.nodes)
    request = read_request(rest, args.shards, nodes.count)
    script = render(request, nodes, args)
    if request.options.dry_run:
        print(script, end="")
        print(f"# {len(request.shards)} shards of {sum(map(len, request.models.values()))} models")
        return OK
    path = request.root / "fleet.sbatch"
    atomic_file.write_bytes(path, script.encode())
    request.folder(1).log.parent.mkdir(exist_ok=True)
    request.write_costs()
    queue = SlurmQueue(path, request.root / "fleet.json", nodes.count)
    dispatcher = _dispatcher(queue, request, args.retries)
    try:
        _wait(dispatcher, queue, args.poll_s, args.wait_hours * HOUR_S)
    except KeyboardInterrupt:
        jobs = " ".join(map(str, queue.jobs))
        print(
            f"\nthe jobs go on; the same command waits for them again, and `scancel {jobs}` ends them",
            file=sys.stderr,
        )
        raise
    return _gather(request, dispatcher)


def read_nodes(text: str) -> Nodes:
    """`8`, or names as Slurm spells them: n[1-4],big1. Raises BadRequestError."""
    if text.isdecimal():
        if int(text) < 1:
            raise BadRequestError(f"--nodes {text}: use at least 1")
        return Nodes(int(text))
    named = expand_nodes(text)
    return Nodes(len(named), other_nodes(named))


def render(request: FleetRequest, nodes: Nodes, args: Namespace) -> str:
    """The job's script, as sbatch takes it."""
    mapped = request.options.map_path
    logs = read_at(str(request.folder(1).log.parent), mapped)
    directives = [
        f"--job-name=ep-perf-{request.run_id}",
        f"--array=1-{request.count}%{nodes.count}",
        "--nodes=1",
        "--ntasks=1",
        "--exclusive",
        "--requeue",
        "--open-mode=append",
        f"--output={logs}/%5a.log",
        f"--chdir={read_at(str(Path.cwd()), mapped)}",
        *(f"--{name}={value}" for name, value in _asked(args).items()),
        *([f"--exclude={','.join(nodes.kept_out)}"] if nodes.kept_out else []),
        *args.sbatch,
    ]
    harness = read_at(str(HARNESS), mapped)
    command = [
        read_at(args.python or sys.executable, mapped), "-m", "perf.fleet.shard",
        "--index", "SLURM_ARRAY_TASK_ID:1", "--host_from", "SLURMD_NODENAME",
        "--shards", str(request.count), "--run_id", request.run_id,
        "-o", read_at(str(request.results), mapped), *request.shard_words(mapped),
    ]  # fmt: skip
    lines = ["#!/bin/sh", *(f"#SBATCH {d}" for d in directives)]
    lines += [f"export PYTHONPATH={shlex.quote(harness)}", f"exec {shlex.join(command)}"]
    return "\n".join(lines) + "\n"


def _asked(args: Namespace) -> Mapping[str, str]:
    """What the user says of the nodes to have."""
    given = {
        "partition": args.partition, "gres": args.gres, "constraint": args.constraint, "time": args.time,
        "account": args.account,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value}


def _dispatcher(queue: SlurmQueue, request: FleetRequest, retries: int) -> Dispatcher:
    def is_complete(shard: int, state: ShardState) -> bool:
        folder = request.folder(shard)
        if state is ShardState.ENDED and not folder.has_begun():
            return bool(queue.jobs)  # it found no cell of the plan in it
        return folder.is_complete()

    return Dispatcher(queue, request.shards, is_complete, retries, say)


def _wait(dispatcher: Dispatcher, queue: SlurmQueue, poll_s: float, wait_s: float) -> None:
    """Until every shard is complete or given up, or for as long as a person is ready to wait."""
    deadline = time.monotonic() + wait_s
    dispatcher.begin()
    jobs = ", ".join(map(str, queue.jobs)) or "none, all is complete"
    say(f"{len(dispatcher.shards)} shards; Slurm's jobs: {jobs}")
    while dispatcher.step():
        if time.monotonic() > deadline:
            say(f"{wait_s / HOUR_S:g} hours have passed; the jobs go on, what there is is merged")
            return
        time.sleep(poll_s)


def _gather(request: FleetRequest, dispatcher: Dispatcher) -> int:
    """Merge what came back; 1 where anything is missing."""
    for shard, state in dispatcher.fates.items():
        folder = request.folder(shard)
        told = folder.last_error() or f"its log: {folder.log}"
        say(f"shard {shard} {state.value}: {told}")
    folders = [request.folder(s).results for s in request.shards]
    came = [f for f in folders if (f / request.run_id / "run.json").is_file()]
    fates = fates_by_model(dispatcher.fates, request.models)
    done = merge_runs(came, request.run_id, request.results, fates)
    *notes, last = describe_merge(done)
    for line in notes:
        say(line)
    print(last)
    strict = request.options.strict and not done.complete
    return INCOMPLETE if done.merged.missing or strict else OK


def say(line: str) -> None:
    """Tell whoever waits, apart from the results."""
    print(line, file=sys.stderr, flush=True)


def _parser() -> Parser:
    out = make_parser(
        "python -m perf.fleet.slurm",
        "A run on many hosts through Slurm; all other flags are the run's own.",
    )
    out.add_argument("--nodes", required=True, metavar="N|LIST",
                     help="how many nodes may work at once, or which: n[1-4],big1")  # fmt: skip
    out.add_argument(
        "--gres", default="", metavar="GRES", help="boards of a node, by type: gpu:h100:1"
    )
    out.add_argument(
        "--constraint", default="", metavar="FEATURES", help="features that a node must have"
    )
    out.add_argument("--partition", default="", metavar="NAME")
    out.add_argument("--account", default="", metavar="NAME")
    out.add_argument(
        "--time", default="", metavar="LIMIT", help="most time of a shard's attempt: 8:00:00"
    )
    out.add_argument("--sbatch", action="append", default=[], metavar="=--FLAG",
                     help="another word for sbatch, as --sbatch=--qos=night")  # fmt: skip
    out.add_argument(
        "--python", default="", metavar="PATH", help="the harness's Python on the nodes"
    )
    out.add_argument(
        "--poll_s", type=float, default=10.0, metavar="S", help="seconds between questions"
    )
    out.add_argument("--wait_hours", type=float, default=168.0, metavar="H",
                     help="merge what there is after this long (default 168)")  # fmt: skip
    return out


if __name__ == "__main__":
    sys.exit(main())
