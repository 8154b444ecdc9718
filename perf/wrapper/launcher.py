"""Launches as processes: started, watched, ended, folded, and made durable."""

import contextlib
import errno
import functools
import shlex
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from perf.execution.run_lifecycle import DAY_S, RunSession
from perf.machine import process_tree, rapl_sampler
from perf.machine.gpus import Gpu
from perf.machine.machine_lock import MachineLock
from perf.machine.nvml_sampler import NvmlSampler
from perf.planning.launch import LaunchRequest, LaunchResult, expectation_of, write_job
from perf.report.live_display import LiveDisplay
from perf.request.options import Options, default_jobs
from perf.results import run_folder
from perf.results.host_records import host_name
from perf.results.launch_folder import LaunchFolder
from perf.results.run_folder import RunFolder
from perf.schema import fold, journal
from perf.schema.cell import Cell
from perf.schema.journal import Note, Stage
from perf.schema.record import Ending, EnvironmentFailed, KilledFor, Launch, LaunchKind, Raised
from perf.schema.untrusted_file import file_version
from perf.wrapper.spawn import CannotStart, WorkerSpec
from perf.wrapper.supervisor import Running, Supervisor

NOTHING = fold.Expectation()
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
MODELS_AT_ONCE = 16  # set up side by side before their measuring begins


@dataclass
class _InFlight:
    request: LaunchRequest
    sampler: NvmlSampler | None
    energy: rapl_sampler.RaplSampler | None
    shared: MachineLock | None  # of the engine cache that runs share, while it may be written
    accompanied: bool


@contextlib.contextmanager
def open_process_launcher(session: RunSession) -> Iterator["ProcessLauncher"]:
    """A launcher for one run; at its end no process of it is left."""
    with Supervisor(session.plan.signals) as supervisor:
        if live := session.screen.live:
            supervisor.on_look = functools.partial(_show, live)
        yield ProcessLauncher(
            supervisor, session.plan.options, session.host.gpus, session.host.boot_id,
            session.folder, session.screen.notify, session.host_key,
        )  # fmt: skip


def _show(live: LiveDisplay, running: Running) -> None:
    """Tell a display of the launch in flight, no oftener than it draws."""
    if live.is_due():
        stage, _ = running.folder.stage_now()
        live.tell_stage(stage.value, running.began_s, running.spec.timeouts.launch_s)


class ProcessLauncher:
    """Carries launches out on a supervisor, several at once where asked to."""

    batch = MODELS_AT_ONCE

    def __init__(
        self,
        supervisor: Supervisor,
        options: Options,
        gpus: tuple[Gpu, ...],
        boot_id: str,
        run: RunFolder,
        notice: Callable[[str], None] = lambda _line: None,
        host: str = "",
    ) -> None:
        self.jobs = options.jobs or default_jobs()
        self._signals = supervisor.signals
        self.pause = self._signals.pause
        self._run = run
        self._notice = notice
        self._supervisor = supervisor
        self._options = options
        self._gpus = gpus
        self._boot_id = boot_id
        self._host = host
        self._flying: dict[int, _InFlight] = {}
        self._order = 0
        self._jobs: dict[Path, tuple[tuple[int, ...], Cell | None]] = {}

    @property
    def in_flight(self) -> int:
        """How many launches run now."""
        return len(self._flying)

    def start(self, request: LaunchRequest) -> LaunchResult | None:
        """Start a launch; answers at once where it need not or cannot run. Raises Interrupted."""
        self._signals.check_before_launch()
        if not request.is_repeat and (result := _finished(request, self._host)):
            return result
        self._write_job(request)
        run_folder.make_empty(self._run.root, request.folder)
        sampler, energy = self._sampler(request), _energy(request)
        spec = WorkerSpec(
            request.kind, request.job, request.folder, request.environment, request.preload,
            self._options.timeout, self._options.memory_limit, self._isolation(request),
            self._prefix(request), _watcher(sampler, energy), self._writable(request),
            watch_timed=_is_watched_timed(request),
        )  # fmt: skip
        shared = self._shared(request)
        try:
            running = self._supervisor.start(spec)
        except CannotStart as e:
            if shared:
                shared.release()
            return _could_not_start(request, str(e))
        self._flying[running.pid] = _InFlight(request, sampler, energy, shared, bool(self._flying))
        if len(self._flying) > 1:
            for flying in self._flying.values():
                flying.accompanied = True
        return None

    def _write_job(self, request: LaunchRequest) -> None:
        """What a launch is given to do is as this run has it, whatever a worker did to the file since.

        A cell may have learnt what its references are worth since its first launch.
        """
        known = self._jobs.get(request.job)
        if known is None or known[0] != file_version(request.job) or known[1] is not request.cell:
            self._jobs[request.job] = write_job(self._run.root, request), request.cell

    def continue_after(self, launches: Iterable[Launch]) -> None:
        """Number launches on after those of an earlier part of this run."""
        self._order = max([self._order, *(x.order for x in launches)])

    def wait(self) -> LaunchResult:
        """The next launch to end, folded and durable; raises Interrupted."""
        running, ending = self._supervisor.wait()
        return self._ended(running, ending)

    def _ended(self, running: Running, ending: Ending) -> LaunchResult:
        """Take a launch in; a fault of ours, or of the disk below one launch, is that launch's outcome."""
        flying = self._flying.pop(running.pid)
        try:
            if flying.shared:
                flying.shared.release()
            return self._take_in(flying, running, ending)
        except OSError as e:
            if e.errno in FULL:
                raise  # nothing more can be recorded: it is the run that ends, not the cell
            return self._not_taken_in(flying.request, ending, e)
        except Exception as e:
            return self._not_taken_in(flying.request, ending, e)
        finally:
            running.folder.close()

    def _take_in(self, flying: _InFlight, running: Running, ending: Ending) -> LaunchResult:
        request, folder = flying.request, running.folder
        folder.remove_temporary()
        account = folder.read_journal()
        events = journal.until(account.events, running.killed_at_s)
        expected = expectation_of(request.cell) if request.cell else NOTHING
        launch = fold.fold_launch(request.name, request.kind, events, ending, expected)
        if damage := folder.damage() or account.problem:
            launch = fold.without_account(launch, fold.last_stage(events), damage)
        if told := damage or account.cut:
            launch = replace(launch, notes=(*launch.notes, Note("folder", told)))
        self._order += 1
        launch = replace(
            launch, began_s=running.began_s, boot_id=self._boot_id, round=request.round, order=self._order,
            host=self._host, isolation=running.isolation, cold=_cold(launch, accompanied=flying.accompanied),
            accompanied=flying.accompanied,
        )  # fmt: skip
        if not self._options.track_memory:
            launch = replace(launch, host_memory=None)
        if flying.energy:
            launch = replace(launch, cpu_energy_j=flying.energy.finish(events))
        if flying.sampler:
            memory, counters = flying.sampler.finish(events)
            notes = tuple(Note("gpu", text) for text in flying.sampler.notes)
            launch = replace(
                launch, gpu_memory=memory, gpu_counters=counters, notes=launch.notes + notes
            )
        if ending.killed_for is not KilledFor.INTERRUPT:
            if folder.damage():
                run_folder.make_empty(self._run.root, request.folder)
                run_folder.write_launch(request.folder, launch)
            else:
                folder.write_launch(launch)
        return LaunchResult(request, events, ending, launch)

    def _not_taken_in(self, request: LaunchRequest, ending: Ending, e: Exception) -> LaunchResult:
        """What became of a launch whose account we failed to take in; the whole of it is logged."""
        self._notice(f"{request.folder}: internal: {type(e).__name__}: {e}; please report it")
        traceback.print_exc()
        outcome = Raised(Stage.CLOSE, "HarnessError", f"{type(e).__name__}: {e}")
        launch = Launch(request.name, request.kind, outcome, ending)
        return LaunchResult(request, (), ending, launch)

    def _sampler(self, request: LaunchRequest) -> NvmlSampler | None:
        if not (request.gpu and self._gpus and self._options.track_memory):
            return None
        device = request.cell.device if request.cell else 0
        sampler = NvmlSampler(self._gpus[min(device, len(self._gpus) - 1)])
        sampler.baseline()
        return sampler

    def _shared(self, request: LaunchRequest) -> MachineLock | None:
        """The lease of a cache that runs share, for the launch that builds what is not there.

        Not every engine locks what it writes. Raises Interrupted where a signal ends the wait.
        """
        cell = request.cell
        if not (
            self._options.keep_cache and request.kind is LaunchKind.CHECK and cell and cell.cache
        ):
            return None
        cache = Path(cell.cache)
        cache.parent.mkdir(parents=True, exist_ok=True)
        lease = MachineLock(f"engines {cache.name}", self._run.run_id, DAY_S, cache.parent)
        lease.acquire(sleep=self._signals.pause, waiting=self._notice)
        return lease

    def _writable(self, request: LaunchRequest) -> tuple[Path, ...] | None:
        """What the worker may write besides its folder, made where it is not there; None without a fence."""
        for folder in request.writable:
            folder.mkdir(parents=True, exist_ok=True)
        return request.writable if self._options.fence else None

    def _isolation(self, request: LaunchRequest) -> str:
        if request.prefix:
            return "spawn"
        return self._options.isolation if request.cell else "host"

    def _prefix(self, request: LaunchRequest) -> str:
        measured = request.kind in (LaunchKind.CHECK, LaunchKind.MEASURE)
        return shlex.join(request.prefix) or (self._options.exec_prefix if measured else "")


def _cold(launch: Launch, *, accompanied: bool) -> bool | None:
    """Whether a check launch's session met an empty cache, alone on the machine; None: not a check."""
    if launch.kind is not LaunchKind.CHECK:
        return None
    return not accompanied and not (launch.created and launch.created.cached)


def _finished(request: LaunchRequest, host: str) -> LaunchResult | None:
    """A launch that an earlier part of this run ended, on this host where that matters, if it can be read."""
    launch = run_folder.read_finished_launch(request.folder)
    if launch is None or (request.cell and _is_of_another(launch, host)):
        return None
    with contextlib.closing(LaunchFolder(request.folder, request.job)) as folder:
        account = folder.read_journal()
    return (
        None if account.problem else LaunchResult(request, account.events, launch.ending, launch)
    )


def _is_of_another(launch: Launch, host: str) -> bool:
    """Whether another host made a check or measure launch: a cell's times are all of one host."""
    here, there = host_name(host), host_name(launch.host)
    return launch.kind is not LaunchKind.REFERENCE and bool(here and there) and here != there


def _energy(request: LaunchRequest) -> rapl_sampler.RaplSampler | None:
    """Of the CPU, while a launch without a GPU is timed, where its counters can be read."""
    if request.gpu or request.kind is not LaunchKind.MEASURE:
        return None
    sampler = rapl_sampler.RaplSampler(rapl_sampler.POWERCAP)
    return sampler if sampler.readable else None


def _is_watched_timed(request: LaunchRequest) -> bool:
    """Whether a device's counters are read all the time: of a cell's measure launches in the first alone.

    Of 8 launches of 0.4 ms a run on an H200 3 were 5 to 9 % slow where NVML was read beside them, and none
    where it was not: ± 4.6 and 0.5 %.
    """
    return not request.gpu or request.kind is not LaunchKind.MEASURE or request.round == 0


def _watcher(
    sampler: NvmlSampler | None, energy: rapl_sampler.RaplSampler | None
) -> Callable[[int], None] | None:
    def watch(pid: int) -> None:
        if sampler and sampler.is_due:
            sampler.sample(process_tree.process_tree(pid))
        if energy:
            energy.sample()

    return watch if sampler or energy else None


def _could_not_start(request: LaunchRequest, why: str) -> LaunchResult:
    ending = Ending(status=None, signal=None)
    return LaunchResult(
        request,
        (),
        ending,
        Launch(request.name, request.kind, EnvironmentFailed(why), ending),
        why,
    )
