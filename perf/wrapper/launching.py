"""One launch from ask to answer: started, watched, ended, folded, and made durable."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from perf.core import fold, journal, run_folder
from perf.core.devices import Gpu
from perf.core.journal import Noted
from perf.core.leases import Lease
from perf.core.options import Options
from perf.core.record import Ending, EnvironmentFailed, Launch, LaunchKind
from perf.planning.flow import Answer, Ask, expectation
from perf.wrapper import processes, rapl
from perf.wrapper.nvml import Sampler
from perf.wrapper.starting import CannotStart, Request
from perf.wrapper.supervise import Running, Supervisor

NOTHING = fold.Expectation()


DAY_S = 24 * 3600.0


@dataclass
class _InFlight:
    ask: Ask
    sampler: Sampler | None
    energy: rapl.Sampler | None
    shared: Lease | None  # of the engine cache that runs share, while it may be written
    accompanied: bool


class Launcher:
    """Carries out asks on a supervisor, several at once where asked to."""

    def __init__(
        self,
        supervisor: Supervisor,
        options: Options,
        gpus: tuple[Gpu, ...],
        boot_id: str,
        run_id: str = "",
        notice: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._run_id = run_id
        self._notice = notice
        self._supervisor = supervisor
        self._options = options
        self._gpus = gpus
        self._boot_id = boot_id
        self._flying: dict[int, _InFlight] = {}
        self._order = 0

    @property
    def in_flight(self) -> int:
        """How many launches run now."""
        return len(self._flying)

    def start(self, ask: Ask) -> Answer | None:
        """Start a launch; answers at once where it need not or cannot run."""
        if answer := _finished(ask):
            return answer
        run_folder.clear(ask.folder)
        sampler, energy = self._sampler(ask), _energy(ask)
        request = Request(
            ask.kind, ask.job, ask.folder, ask.environment, ask.preload, self._options.timeout,
            self._options.memory_limit, self._isolation(ask), self._prefix(ask), _watcher(sampler, energy),
        )  # fmt: skip
        shared = self._shared(ask)
        try:
            running = self._supervisor.start(request)
        except CannotStart as e:
            if shared:
                shared.release()
            return _could_not_start(ask, str(e))
        self._flying[running.pid] = _InFlight(ask, sampler, energy, shared, bool(self._flying))
        if len(self._flying) > 1:
            for flying in self._flying.values():
                flying.accompanied = True
        return None

    def seen(self, launches: Iterable[Launch]) -> None:
        """Launches of an earlier part of this run: what is launched now comes after them."""
        self._order = max([self._order, *(x.order for x in launches)])

    def wait(self) -> Answer:
        """The next launch to end, folded and durable; raises Interrupted."""
        running, ending = self._supervisor.wait()
        return self._ended(running, ending)

    def run(self, ask: Ask) -> Answer:
        """One launch, alone, from start to end."""
        return self.start(ask) or self.wait()

    def _ended(self, running: Running, ending: Ending) -> Answer:
        flying = self._flying.pop(running.pid)
        if flying.shared:
            flying.shared.release()
        ask = flying.ask
        events = journal.read_live(ask.folder / "journal.jsonl")
        launch = fold.launch(
            ask.name, ask.kind, events, ending, expectation(ask.cell) if ask.cell else NOTHING
        )
        self._order += 1
        launch = replace(
            launch, began_s=running.began_s, boot_id=self._boot_id, round=ask.round, order=self._order,
            isolation=running.isolation, cold=_cold(launch, accompanied=flying.accompanied),
        )  # fmt: skip
        if not self._options.track_memory:
            launch = replace(launch, host_memory=None)
        if flying.energy:
            launch = replace(launch, cpu_energy_j=flying.energy.finish(events))
        if flying.sampler:
            memory, counters = flying.sampler.finish(events)
            notes = tuple(Noted("gpu", text) for text in flying.sampler.notes)
            launch = replace(
                launch, gpu_memory=memory, gpu_counters=counters, notes=launch.notes + notes
            )
        if ending.killed_for is None or ending.killed_for.value != "interrupt":
            run_folder.write_launch(ask.folder, launch)
        return Answer(ask, events, ending, launch)

    def _sampler(self, ask: Ask) -> Sampler | None:
        if not (ask.gpu and self._gpus and self._options.track_memory):
            return None
        device = ask.cell.device if ask.cell else 0
        sampler = Sampler(self._gpus[min(device, len(self._gpus) - 1)])
        sampler.baseline()
        return sampler

    def _shared(self, ask: Ask) -> Lease | None:
        """The lease of a cache that runs share, for the launch that builds what is not there.

        Not every engine locks what it writes. Raises Interrupted where a signal ends the wait.
        """
        cell = ask.cell
        if not (self._options.keep_cache and ask.kind is LaunchKind.CHECK and cell and cell.cache):
            return None
        cache = Path(cell.cache)
        cache.parent.mkdir(parents=True, exist_ok=True)
        lease = Lease(f"engines {cache.name}", self._run_id, DAY_S, cache.parent)
        lease.acquire(sleep=self._supervisor.pause, waiting=self._notice)
        return lease

    def _isolation(self, ask: Ask) -> str:
        return self._options.isolation if ask.cell else "host"

    def _prefix(self, ask: Ask) -> str:
        measured = ask.kind in (LaunchKind.CHECK, LaunchKind.MEASURE)
        return self._options.exec_prefix if measured else ""


def _cold(launch: Launch, *, accompanied: bool) -> bool | None:
    """Whether a check launch's session met an empty cache, alone on the machine; None: not a check."""
    if launch.kind is not LaunchKind.CHECK:
        return None
    return not accompanied and not (launch.created and launch.created.cached)


def _finished(ask: Ask) -> Answer | None:
    launch = run_folder.finished_launch(ask.folder)
    if launch is None:
        return None
    return Answer(ask, journal.read(ask.folder / "journal.jsonl"), launch.ending, launch)


def _energy(ask: Ask) -> rapl.Sampler | None:
    """Of the CPU, while a launch without a GPU is timed, where its counters can be read."""
    if ask.gpu or ask.kind is not LaunchKind.MEASURE:
        return None
    sampler = rapl.Sampler(rapl.POWERCAP)
    return sampler if sampler.readable else None


def _watcher(sampler: Sampler | None, energy: rapl.Sampler | None) -> Callable[[int], None] | None:
    def watch(pid: int) -> None:
        if sampler:
            sampler.sample(processes.tree(pid))
        if energy:
            energy.sample()

    return watch if sampler or energy else None


def _could_not_start(ask: Ask, why: str) -> Answer:
    ending = Ending(status=None, signal=None)
    return Answer(ask, (), ending, Launch(ask.name, ask.kind, EnvironmentFailed(why), ending), why)
