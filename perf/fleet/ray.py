"""A run on many hosts through Ray: `ep-perf fleet ray --run_id ID [run's own flags]`.

For who has a Ray cluster already: a task for each shard, alone on its node, its results on a file system that
all nodes share. Ray queues and places; what was lost is handed in again from here, and all is merged.
"""

import importlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from perf.fleet.fleet_request import FleetRequest, make_fleet_parser, read_request
from perf.fleet.gather import gather, make_dispatcher, prepare, wait
from perf.fleet.program import FleetParser, report, say
from perf.fleet.ray_queue import RayQueue, Share, whole_node
from perf.request.options import BadRequestError
from perf.request.programs import child_command, install_command


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a command line; returns the exit status."""
    return report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args, rest = make_parser().split(argv)
    ray = _connect(args.address)
    try:
        nodes = [n for n in ray.nodes() if n["Alive"]]
        cpus = 0.0 if args.gpus else args.cpus or whole_node(nodes)
        share = Share(cpus, args.gpus)
        request = read_request(rest, args.shards, len(nodes))
        if request.options.dry_run:
            print(shlex.join(_command(request, request.shards[0])))
            print(f"# {len(request.shards)} shards, each with {cpus:g} CPUs, {args.gpus:g} GPUs")
            return 0
        prepare(request)
        queue = RayQueue(
            ray, {s: _command(request, s) for s in request.shards},
            {s: str(request.folder(s).log) for s in request.shards}, str(Path.cwd()), share,
        )  # fmt: skip
        dispatcher = make_dispatcher(queue, request, args.retries)
        dispatcher.begin()
        say(f"{len(request.shards)} shards on {len(nodes)} nodes of Ray")
        wait(dispatcher, args.poll_s, args.wait_hours)
        return gather(request, dispatcher)
    finally:
        ray.shutdown()


def _command(request: FleetRequest, shard: int) -> list[str]:
    return [
        *child_command("perf.fleet.shard"), "--index", str(shard), "--shards", str(request.count),
        "--run_id", request.run_id, "-o", str(request.results), *request.shard_words({}),
    ]  # fmt: skip


def _connect(address: str) -> Any:
    """Ray, in touch with its cluster; raises BadRequestError without the one or the other."""
    try:
        ray = importlib.import_module("ray")  # large, and not everybody's
    except ImportError as e:
        raise BadRequestError(
            f"no Ray in this environment ({e}); `{install_command('ray', locked=False)}` brings it"
        ) from e
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as e:
        told = str(e).strip().splitlines()[0]
        raise BadRequestError(f"--address {address}: {told}; start one: ray start --head") from e
    return ray


def make_parser() -> FleetParser:
    """The flags of a fleet on Ray."""
    out = make_fleet_parser(
        "perf.fleet.ray",
        "A run on many hosts through Ray.",
        "--run_id night -m list.json -e cuda cpu",
    )
    out.add_argument(
        "--address", default="auto", metavar="ADDRESS", help="its head (default auto)"
    )
    share = out.add_mutually_exclusive_group()
    share.add_argument("--cpus", type=float, default=0.0, metavar="N",
                       help="cores that a shard is given; left out: enough to keep others off")  # fmt: skip
    share.add_argument("--gpus", type=float, default=0.0, metavar="N", help="boards, not cores")
    return out


if __name__ == "__main__":
    sys.exit(main())
