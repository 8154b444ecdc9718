"""One launch from ask to answer: started, watched, ended, folded, and made durable."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from perf.core import fold, journal, run_folder
from perf.core.devices import Gpu
from perf.core.journal import Noted
from perf.core.options import Options
from perf.core.record import Ending, EnvironmentFailed, Launch, LaunchKind
from perf.planning.flow import Answer, Ask, expectation
from perf.wrapper import processes
from perf.wrapper.nvml import Sampler
from perf.wrapper.starting import CannotStart, Request
from perf.wrapper.supervise import Running, Supervisor

NOTHING = fold.Expectation()


@dataclass
class _InFlight:
    ask: Ask
    sampler: Sampler | None
    accompanied: bool


class Launcher:
    """Carries out asks on a supervisor, several at once where asked to."""

    def __init__(
        self, supervisor: Supervisor, options: Options, gpus: tuple[Gpu, ...], boot_id: str
    ) -> None:
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
        sampler = self._sampler(ask)
        request = Request(
            ask.kind, ask.job, ask.folder, ask.environment, ask.preload, self._options.timeout,
            self._options.memory_limit, self._isolation(ask), self._prefix(ask), _watcher(sampler),
        )  # fmt: skip
        try:
            running = self._supervisor.start(request)
        except CannotStart as e:
            return _could_not_start(ask, str(e))
        self._flying[running.pid] = _InFlight(ask, sampler, bool(self._flying))
        if len(self._flying) > 1:
            for flying in self._flying.values():
                flying.accompanied = True
        return None

    def wait(self) -> Answer:
        """The next launch to end, folded and durable; raises Interrupted."""
        running, ending = self._supervisor.wait()
        return self._ended(running, ending)

    def run(self, ask: Ask) -> Answer:
        """One launch, alone, from start to end."""
        return self.start(ask) or self.wait()

    def _ended(self, running: Running, ending: Ending) -> Answer:
        flying = self._flying.pop(running.pid)
        ask = flying.ask
        events = journal.read(ask.folder / "journal.jsonl")
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


def _watcher(sampler: Sampler | None) -> Callable[[int], None] | None:
    if sampler is None:
        return None
    return lambda pid: sampler.sample(processes.tree(pid))


def _could_not_start(ask: Ask, why: str) -> Answer:
    ending = Ending(status=None, signal=None)
    return Answer(ask, (), ending, Launch(ask.name, ask.kind, EnvironmentFailed(why), ending), why)
