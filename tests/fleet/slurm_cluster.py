"""A real Slurm on this machine: a controller and two nodes from a configuration of ours, and ways to lose them."""

import contextlib
import getpass
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.asking import ROOT

UNPACKED = ROOT / ".envs" / "slurm"  # by fetch_slurm.sh
NODES = ("n1", "n2")
START_S = 60.0


@dataclass
class SlurmCluster:
    """A controller and its nodes; `environment` is what Slurm's programs and ours need to find them."""

    scratch: Path
    environment: dict[str, str]
    _running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self) -> None:
        """Start everything, and wait until both nodes are idle."""
        self._spawn("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        self.wait_for(
            lambda: self.ask("sinfo", "-h", "-N", "-o", "%T").split() == ["idle", "idle"]
        )

    def start_node(self, node: str) -> None:
        """Boot a node: to the controller it looks like a machine that came up anew."""
        stepd = shutil.which("slurmstepd", path=self.environment["PATH"]) or "slurmstepd"
        self._spawn(node, "slurmd", "-D", "-b", "-N", node, "-d", stepd)

    def kill_daemon(self, node: str) -> None:
        """Lose the node's slurmd; what ran there runs on."""
        self._kill(self._running[node].pid)
        self._running[node].wait(START_S)

    def kill_node(self, node: str) -> None:
        """Lose a machine: its daemon, and every process of every job there, at once."""
        self.kill_daemon(node)
        for pid in self.pids_of_jobs(node):
            self._kill(pid)

    def kill_job(self, node: str) -> bool:
        """Lose a job there, Slurm's own process for it too; whether there was one."""
        return self._kill_all(self.pids_of_jobs(node))

    def kill_wrapper(self, node: str) -> bool:
        """Lose the process that the job's script became; whether there was one."""
        mine = set(self.pids_of_jobs(node))
        return self._kill_all(
            [p for p in mine if _parent(p) in mine and "slurmstepd" in _command(_parent(p))]
        )

    def lose_some(self, kind: str, rng: random.Random, patience_s: float = 90.0) -> bool:
        """Wait until a node works, and a moment, and lose what `kind` says there; whether it hit."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            working = [n for n in NODES if self.pids_of_jobs(n)]
            time.sleep(rng.uniform(0, 1.5) if working else 0.05)
            if working and self.lose(kind, rng.choice(working)):
                return True
        return False

    def lose(self, kind: str, node: str) -> bool:
        """Lose a node's daemon, job, wrapper, or all of it, and boot what was lost; whether anything ran there."""
        if not self.pids_of_jobs(node):
            return False
        match kind:
            case "daemon":
                self.kill_daemon(node)
            case "job":
                return self.kill_job(node)
            case "wrapper":
                return self.kill_wrapper(node)
            case _:
                self.kill_node(node)
        self.start_node(node)
        return True

    def pids_of_jobs(self, node: str) -> list[int]:
        """Processes of jobs on a node, Slurm's own for each job first."""
        workers = [
            p for p in _pids() if self._is_ours(p) and _variable(p, "SLURMD_NODENAME") == node
        ]
        steps = {_parent(p) for p in workers} - set(workers)
        return [*sorted(p for p in steps if "slurmstepd" in _command(p)), *workers]

    def ask(self, *argv: str) -> str:
        """What one of Slurm's programs prints."""
        done = subprocess.run(
            argv,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_S,
        )
        return done.stdout

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Until something is so; raises TimeoutError with the controller's last words."""
        deadline = time.monotonic() + START_S
        while not condition():
            if time.monotonic() > deadline:
                said = (self.scratch / f"slurmctld.{kind}" for kind in ("out", "log"))
                raise TimeoutError("".join(p.read_text()[-3000:] for p in said if p.exists()))
            time.sleep(0.1)

    def stop(self) -> None:
        """End everything, the jobs too."""
        for node in NODES:
            self.kill_job(node)
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            self._kill(process.pid)
            process.wait(START_S)
        leftover = [p for p in _pids() if self._is_ours(p)]
        self._kill_all(leftover)

    def _spawn(self, name: str, *argv: str) -> None:
        program = shutil.which(argv[0], path=self.environment["PATH"]) or argv[0]
        with (self.scratch / f"{name}.out").open("ab") as out:
            self._running[name] = subprocess.Popen(
                [program, *argv[1:], "-f", self.environment["SLURM_CONF"]], env=self.environment, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def _kill_all(self, pids: list[int]) -> bool:
        for pid in pids:
            self._kill(pid)
        return bool(pids)

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _is_ours(self, pid: int) -> bool:
        return (
            _variable(pid, "SLURM_CONF") == self.environment["SLURM_CONF"] and pid != os.getpid()
        )


@contextlib.contextmanager
def slurm_cluster(scratch: Path) -> Iterator[SlurmCluster]:
    """Slurm with two idle nodes, gone at the end; raises TimeoutError where it does not come up."""
    root = UNPACKED if UNPACKED.is_dir() else Path("/")
    libraries = root / "usr" / "lib" / f"{os.uname().machine}-linux-gnu"
    for name in ("state", "spool-n1", "spool-n2"):
        (scratch / name).mkdir()
    ports = [_free_port() for _ in range(3)]
    conf = scratch / "slurm.conf"
    conf.write_text(
        (Path(__file__).parent / "slurm.conf").read_text().format(
            host=socket.gethostname(), user=getpass.getuser(), plugins=libraries / "slurm-wlm", scratch=scratch,
            port=ports[0], port_n1=ports[1], port_n2=ports[2],
        )
    )  # fmt: skip
    environment = {
        **os.environ,
        "SLURM_CONF": str(conf),
        "PATH": search_path(),
        "LD_LIBRARY_PATH": f"{libraries}:{libraries / 'slurm-wlm'}",
    }
    cluster = SlurmCluster(scratch, environment)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def search_path() -> str:
    """Where Slurm's programs are looked for: those that were unpacked, then the system's."""
    return os.pathsep.join(
        [str(UNPACKED / "usr" / "bin"), str(UNPACKED / "usr" / "sbin"), os.environ["PATH"]]
    )


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _pids() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdecimal()]


def _variable(pid: int, name: str) -> str:
    """A variable that a process was started with; "" where it has none, or is gone."""
    with contextlib.suppress(OSError):
        for part in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            key, _, value = part.partition(b"=")
            if key.decode() == name:
                return value.decode()
    return ""


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    return ""
