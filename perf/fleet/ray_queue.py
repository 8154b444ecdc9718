"""Ray's tasks, one for each shard: handed in, asked after, and never retried by Ray itself.

The program that a task runs is a child of Ray's worker, and dies with it.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perf.fleet.dispatch import ShardState
from perf.request.locations import CODE
from perf.request.options import BadRequestError
from perf.wrapper.spawn import die_with_the_wrapper

ENDED_BADLY = (1, 2, 3)  # exit statuses of ours that would come again
OF_RAY = ("OMP_NUM_THREADS",)  # variables that Ray sets in its workers, and an engine would heed


@dataclass(frozen=True)
class Share:
    """What a task is given of a node: all of its cores, or boards."""

    cpus: float
    gpus: float


@dataclass
class RayQueue:
    """The tasks of one fleet's run."""

    ray: Any  # the module, which is imported where somebody has it
    commands: Mapping[int, Sequence[str]]  # of each shard
    logs: Mapping[int, str]
    folder: str  # that the run's command was given in
    share: Share
    _tasks: dict[int, Any] = field(default_factory=dict)
    _ended: dict[int, ShardState] = field(default_factory=dict)

    def submit(self, shards: Sequence[int]) -> None:
        """A task for each shard, spread over the nodes."""
        remote = self.ray.remote(run_shard).options(
            max_retries=0, num_cpus=self.share.cpus, num_gpus=self.share.gpus, scheduling_strategy="SPREAD",
            runtime_env={"env_vars": {"PYTHONPATH": str(CODE)}},
        )  # fmt: skip
        for shard in shards:
            self._ended.pop(shard, None)
            self._tasks[shard] = remote.remote(
                list(self.commands[shard]), self.folder, self.logs[shard]
            )

    def poll(self) -> Mapping[int, ShardState]:
        """The state of the latest task of each shard."""
        by_ref = {ref: shard for shard, ref in self._tasks.items()}
        if by_ref:
            ready, _ = self.ray.wait(list(by_ref), num_returns=len(by_ref), timeout=0.0)
            for ref in ready:
                shard = by_ref[ref]
                self._ended[shard] = self._state_of(ref)
                del self._tasks[shard]
        return {**self._ended, **dict.fromkeys(self._tasks, ShardState.IN_FLIGHT)}

    def _state_of(self, ref: Any) -> ShardState:
        try:
            status = self.ray.get(ref)
        except self.ray.exceptions.TaskCancelledError:
            return ShardState.CANCELLED
        except self.ray.exceptions.RayTaskError as e:
            raise BadRequestError(
                f"a task could not run: {str(e).strip().splitlines()[-1]}"
            ) from e
        except self.ray.exceptions.RayError:
            return ShardState.HOST_LOST  # the worker, or its node, is gone
        if status in ENDED_BADLY:
            return ShardState.REFUSED
        return ShardState.ENDED if status == 0 else ShardState.HOST_LOST


def run_shard(command: Sequence[str], folder: str, log: str) -> int:
    """In a worker: run a shard's command to its end; its exit status, or 128 and its signal."""
    with Path(log).open("ab") as out:
        done = subprocess.run(
            list(command), cwd=folder, env=task_environment(), stdout=out, stderr=out, check=False,
            stdin=subprocess.DEVNULL, preexec_fn=die_with_the_wrapper,
        )  # fmt: skip
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def task_environment() -> dict[str, str]:
    """A worker's variables without what Ray put there, and with the node's name where it was given one."""
    import ray  # of the worker that this runs in

    out = {k: v for k, v in os.environ.items() if k not in OF_RAY}
    mine = ray.get_runtime_context().get_node_id()
    found: Mapping[str, Any] = next((n for n in ray.nodes() if n["NodeID"] == mine), {})
    name, address = found.get("NodeName", ""), found.get("NodeManagerAddress", "")
    if name and name != address:
        out["EP_PERF_HOST"] = name
    return out


def whole_node(nodes: Sequence[Mapping[str, Any]]) -> float:
    """Cores to ask for, so that no node is ever given two tasks; raises BadRequestError for no node.

    Nodes with half the cores of the largest, or fewer, cannot be had so.
    """
    cores = sorted(float(n["Resources"].get("CPU", 0)) for n in nodes if n["Alive"])
    if not cores or not cores[-1]:
        raise BadRequestError("Ray has no node with a CPU; start one: ray start --address=…")
    return next(c for c in cores if c > cores[-1] / 2)
