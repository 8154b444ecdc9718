"""Environments looked into, each by a launch of its own, side by side, with what became of it."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from perf.conversion.scratch_dir import scratch_folder
from perf.execution.signals import SignalWatch
from perf.request.flag_types import Timeouts
from perf.results.launch_folder import LaunchFolder
from perf.results.log_tail import own_lines
from perf.schema import atomic_file, codec, fold, journal, outcomes
from perf.schema.cell import Environment
from perf.schema.engine_message import lead_with_reason
from perf.schema.jobs import ProbeJob
from perf.schema.journal import Probed
from perf.schema.record import Ending, Launch, LaunchKind, Passed, Raised
from perf.wrapper.spawn import CannotStart, WorkerSpec
from perf.wrapper.supervisor import Running, Supervisor

LOAD_S = 60.0  # for an engine to be imported, from a cold disk too
PATIENCE_S = 2.0  # before whoever waits is told for whom
MOST_AT_ONCE = 8
LOG_KEPT = 1 << 16  # bytes


@dataclass(frozen=True)
class Probe:
    """An environment to be looked into, and the plug-in that is to be registered in it, if any."""

    environment: Environment
    plugin: Mapping[str, str]


@dataclass(frozen=True)
class ProbeReport:
    """What a probe told; or the launch that it failed in, with its output; or why it could not begin."""

    probed: Probed | None
    launch: Launch | None = None
    log: bytes = b""
    problem: str = ""


def run_probes(
    probes: Sequence[Probe], timeouts: Timeouts, *, fence: bool, say: Callable[[str], None]
) -> Iterator[tuple[int, ProbeReport]]:
    """Each probe's number and result, as they end."""
    with ExitStack() as held:
        temporary = Path(tempfile.gettempdir())
        scratch = held.enter_context(scratch_folder(temporary, "ep-perf-probe-"))
        supervisor = held.enter_context(Supervisor(SignalWatch()))
        yield from _Round(probes, timeouts, fence, say, scratch, supervisor).results()


@dataclass
class _Round:
    probes: Sequence[Probe]
    timeouts: Timeouts
    fence: bool
    say: Callable[[str], None]
    scratch: Path
    supervisor: Supervisor

    def results(self) -> Iterator[tuple[int, ProbeReport]]:
        waiting = list(enumerate(self.probes))[::-1]
        flying: dict[int, int] = {}  # pid -> number
        while waiting or flying:
            while waiting and len(flying) < MOST_AT_ONCE:
                number, probe = waiting.pop()
                try:
                    flying[self.supervisor.start(self._spec(number, probe)).pid] = number
                except CannotStart as e:
                    yield number, ProbeReport(None, problem=_cannot_start(probe.environment, e))
            if flying:
                running, ending = self.supervisor.wait()
                yield flying.pop(running.pid), _take_in(running, ending)

    def _spec(self, number: int, probe: Probe) -> WorkerSpec:
        folder = self.scratch / str(number)
        folder.mkdir()
        job = self.scratch / f"{number}.json"
        atomic_file.write_json(job, codec.encode(ProbeJob(probe.plugin)), durable=False)
        limits = replace(self.timeouts, launch_s=min(LOAD_S, self.timeouts.launch_s))
        return WorkerSpec(
            LaunchKind.PROBE, job, folder, probe.environment, timeouts=limits, isolation="spawn",
            watch=self._watcher(probe.environment.name), writable=() if self.fence else None,
        )  # fmt: skip

    def _watcher(self, name: str) -> Callable[[int], None]:
        """Says once whom one waits for."""
        due_s: float | None = time.monotonic() + PATIENCE_S

        def watch(_pid: int) -> None:
            nonlocal due_s
            if due_s is not None and time.monotonic() > due_s:
                due_s = None
                register = self.timeouts.stages.get("register", LOAD_S)
                self.say(
                    f"waiting for environment {name}: its engine has {LOAD_S:g} s to load, a plug-in "
                    f"{register:g} s to register"
                )

        return watch


def _take_in(running: Running, ending: Ending) -> ProbeReport:
    folder: LaunchFolder = running.folder
    try:
        events = journal.until(folder.read_journal().events, running.killed_at_s)
        log = folder.read_log_end(LOG_KEPT)
    finally:
        folder.close()
        shutil.rmtree(folder.path, ignore_errors=True)
    launch = fold.fold_launch("register", LaunchKind.PROBE, events, ending, fold.Expectation())
    told = fold.find_probed(events)
    if isinstance(launch.outcome, Passed):
        return ProbeReport(told)
    launch = replace(launch, isolation=running.isolation)
    return ProbeReport(told, launch, log, _describe(launch, log))


def _describe(launch: Launch, log: bytes) -> str:
    """One line on a probe that did not end well."""
    ending, outcome = launch.ending, outcomes.exact(launch.outcome)
    if isinstance(launch.outcome, Raised):
        return f"{outcomes.reason(launch.outcome)} (its probe: {outcome})"
    said = lead_with_reason("".join(own_lines(log.decode("utf-8", "replace"), 1)))
    if ending.killed_for is not None or ending.status is None:
        return f"its probe: {outcome}" + (f": {said}" if said else "")
    why = said or outcomes.detail(launch.outcome)
    return f"its probe ended with {ending.status}, {outcome}: {why}"


def _cannot_start(environment: Environment, error: CannotStart) -> str:
    why = error.__cause__.strerror if isinstance(error.__cause__, OSError) else str(error)
    return f"no interpreter {environment.python} ({why}); correct environments.toml or --env"
