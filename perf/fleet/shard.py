"""Begins a shard's run on this host, or resumes what another host began: what an engine's task executes.

One attempt at a time works on a shard, on whichever host: an attempt whose host is only thought to be lost
holds the lock still, and the next one waits for it to end.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from perf.fleet.program import FleetParser, report
from perf.fleet.shard_folder import ShardFolder
from perf.machine.system import NAMED
from perf.request.options import BadRequestError, check_run_id
from perf.request.programs import child_command, child_variables
from perf.schema.file_lock import LockTaken, lock_descriptor

TRY_AGAIN = 75  # EX_TEMPFAIL: another attempt still works on this shard
POLL_S = 1.0


def main(argv: Sequence[str] | None = None) -> int:
    """Become the run of one shard; returns only where there is nothing to run, or no way to."""
    return report(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    args, run_words = make_parser().split(argv)
    check_run_id(args.run_id)
    number = shard_number(args.index, os.environ, args.shards)
    shard = ShardFolder(args.output.absolute(), args.run_id, number)
    if shard.is_complete():
        print(f"shard {number}/{args.shards} of run {args.run_id} is complete")
        return 0
    shard.results.mkdir(parents=True, exist_ok=True)
    if not _hold(shard.results / ".shard.lock", args.wait_minutes * 60):
        print(f"error: another attempt still works on {shard.results}", file=sys.stderr)
        return TRY_AGAIN
    named = {"folder": str(shard.results), "shard": str(number), "run_id": args.run_id}
    if args.fetch and not shard.has_begun():
        carry(args.fetch, named)
    where = ["--shard", f"{number}/{args.shards}", "-o", str(shard.results)]
    how = begin_or_resume(shard)
    words = [*child_command("perf.cli.benchmark_wrapper"), *run_words, *where, *how]
    variables = named_host(child_variables(), args.host_from)
    if args.store:
        status = run_to_its_end(words, variables)
        carry(args.store, named)
        return status
    sys.stdout.flush()
    os.execve(words[0], words, variables)


def shard_number(index: str, variables: Mapping[str, str], shards: int) -> int:
    """The shard, from 1, of `I`, or of an engine's variable `NAME:FIRST`; raises BadRequestError."""
    name, colon, first = index.partition(":")
    told = variables.get(name, "") if colon else index
    if not told.isdecimal() or not (first or "1").isdecimal():
        what = f"variable {name} is {told!r}" if colon else f"{index!r}"
        raise BadRequestError(f"--index {index}: {what}, no number of a shard")
    number = int(told) - int(first or 1) + 1
    if not 1 <= number <= shards:
        raise BadRequestError(f"--index {index}: shard {number} is none of 1…{shards}")
    return number


def begin_or_resume(shard: ShardFolder) -> Sequence[str]:
    """Flags that begin a run, or resume it; what an attempt left that died before it began is removed."""
    if (shard.run.root / "run.json").is_file():
        return ["--resume", shard.run_id]
    if shard.run.root.exists():
        shutil.rmtree(shard.run.root)
    return ["--run_id", shard.run_id]


def named_host(variables: Mapping[str, str], host_from: str) -> dict[str, str]:
    """A run's variables with the name that the engine has for this host, where nobody gave another."""
    out = dict(variables)
    if (name := out.get(host_from, "")) and not out.get(NAMED):
        out[NAMED] = name
    return out


def carry(command: str, named: Mapping[str, str]) -> None:
    """Run the command that brings or stores results; raises BadRequestError where it fails."""
    argv = [word.format_map(named) for word in shlex.split(command)]
    try:
        status = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL).returncode
    except OSError as e:
        raise BadRequestError(f"{argv[0]}: {e.strerror}; correct --fetch or --store") from e
    if status:
        raise BadRequestError(
            f"{shlex.join(argv)}: ended with status {status}; results stay in {named['folder']}"
        )


def run_to_its_end(argv: Sequence[str], variables: Mapping[str, str]) -> int:
    """The exit status of a run as a child, which is told to end when we are."""
    with subprocess.Popen(argv, env=variables) as child:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda heard, _frame: child.send_signal(heard))
        status = child.wait()
    return status if status >= 0 else 128 - status


def _hold(path: Path, wait_s: float) -> bool:
    """Hold a lock for as long as this process lives, whatever program it becomes; whether it could."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(fd, True)
    deadline = time.monotonic() + wait_s
    told = False
    while True:
        try:
            lock_descriptor(fd, path, wait=False)
        except LockTaken:
            if time.monotonic() > deadline:
                return False
            if not told:
                print(f"waiting for another attempt; it holds {path}", file=sys.stderr, flush=True)
                told = True
            time.sleep(POLL_S)
            continue
        return True


def make_parser() -> FleetParser:
    """The flags of a shard's task; all other words are the run's."""
    out = FleetParser("python -m perf.fleet.shard", "Begin or resume one shard of a run.")
    out.add_argument("--index", required=True, metavar="I|NAME:FIRST",
                     help="the shard, or an engine's variable, and what it holds for the first")  # fmt: skip
    out.add_argument("--shards", required=True, type=int, metavar="N", help="of how many")
    out.add_argument("--run_id", required=True, metavar="ID")
    out.add_argument("-o", "--output", type=Path, default=Path("result"), metavar="DIR",
                     help="the folder of results that all hosts share")  # fmt: skip
    out.add_argument("--host_from", default="", metavar="NAME",
                     help="the variable that holds this host's name")  # fmt: skip
    out.add_argument("--fetch", default="", metavar="'COMMAND {folder}'",
                     help="brings what an earlier attempt stored; also {shard}, {run_id}")  # fmt: skip
    out.add_argument("--store", default="", metavar="'COMMAND {folder}'",
                     help="carries results away when the run has ended")  # fmt: skip
    out.add_argument("--wait_minutes", type=float, default=60.0, metavar="MIN",
                     help="how long to wait for another attempt at this shard to end")  # fmt: skip
    return out


if __name__ == "__main__":
    sys.exit(main())
