"""A run on many hosts through Slurm: `ep-perf fleet slurm --nodes 8 --run_id ID [run's own flags]`.

It renders and submits one array job, waits for it, hands in again what was lost, and merges. Ended early, or
asked again, it goes on where it was: the jobs are Slurm's, and what is finished lies in the shards' folders.
"""

import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perf.fleet.fleet_request import FleetRequest, make_fleet_parser, read_request
from perf.fleet.gather import gather, make_dispatcher, prepare, wait
from perf.fleet.program import FleetParser, report, say
from perf.fleet.slurm_queue import SlurmQueue, expand_nodes, other_nodes
from perf.request.host_paths import read_at
from perf.request.locations import CODE
from perf.request.options import BadRequestError
from perf.schema import atomic_file


@dataclass(frozen=True)
class Nodes:
    """How many nodes may work at once, and which ones must not."""

    count: int
    kept_out: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a command line; returns the exit status."""
    return report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args, rest = make_parser().split(argv)
    nodes = read_nodes(args.nodes)
    request = read_request(rest, args.shards, nodes.count)
    script = render(request, nodes, args)
    if request.options.dry_run:
        print(script, end="")
        print(f"# {len(request.shards)} shards of {sum(map(len, request.models.values()))} models")
        return 0
    prepare(request)
    path = request.root / "fleet.sbatch"
    atomic_file.write_bytes(path, script.encode())
    queue = SlurmQueue(path, request.root / "fleet.json", nodes.count)
    dispatcher = make_dispatcher(queue, request, args.retries)
    try:
        dispatcher.begin()
        jobs = ", ".join(map(str, queue.jobs)) or "none: all is complete"
        say(f"{len(request.shards)} shards; Slurm's jobs: {jobs}")
        wait(dispatcher, args.poll_s, args.wait_hours)
    except KeyboardInterrupt:
        jobs = " ".join(map(str, queue.jobs))
        say(f"\nthe jobs go on; the same command waits for them again, `scancel {jobs}` ends them")
        raise
    return gather(request, dispatcher)


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
        *(f"--{name}={value}" for name, value in _resource_flags(args).items()),
        *([f"--exclude={','.join(nodes.kept_out)}"] if nodes.kept_out else []),
        *args.sbatch,
    ]
    code = read_at(str(CODE), mapped)
    command = [
        read_at(args.python or sys.executable, mapped), "-P", "-m", "perf.fleet.shard",
        "--index", "SLURM_ARRAY_TASK_ID:1", "--host_from", "SLURMD_NODENAME",
        "--shards", str(request.count), "--run_id", request.run_id,
        "-o", read_at(str(request.results), mapped), *request.shard_words(mapped),
    ]  # fmt: skip
    lines = ["#!/bin/sh", *(f"#SBATCH {d}" for d in directives)]
    lines += [f"export PYTHONPATH={shlex.quote(code)}", f"exec {shlex.join(command)}"]
    return "\n".join(lines) + "\n"


def _resource_flags(args: Namespace) -> Mapping[str, str]:
    """What the user says of the nodes to have."""
    given = {
        "partition": args.partition, "gres": args.gres, "constraint": args.constraint, "time": args.time,
        "account": args.account,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value}


def make_parser() -> FleetParser:
    """The flags of a fleet on Slurm."""
    out = make_fleet_parser(
        "perf.fleet.slurm", "A run on many hosts through Slurm.",
        "--nodes 8 --run_id night -m list.json -e cuda cpu", "--nodes 8 --run_id night --dry_run",
    )  # fmt: skip
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
    out.add_argument("--sbatch", action="append", default=[], metavar="WORD",
                     help="another word for sbatch: --sbatch=--qos=night")  # fmt: skip
    out.add_argument(
        "--python", default="", metavar="PATH", help="the harness's Python on the nodes"
    )
    return out


if __name__ == "__main__":
    sys.exit(main())
