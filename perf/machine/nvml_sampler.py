"""A GPU's own counters, sampled through NVML from outside the worker and laid against its stages."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from perf.machine.gpu_counters import Sample, summarise_counters, summarise_memory
from perf.machine.gpus import MIB, Gpu, start_nvml
from perf.schema.journal import Event
from perf.schema.record import GpuCounters, GpuMemory

# NVML's return codes, as nvml.h numbers them
_ABSENT = frozenset(
    (2, 3, 4, 13, 21, 25, 26)
)  # not supported, no permission, no function, no data, …
_PASSING = frozenset(
    (7, 10, 23, 27)
)  # insufficient size, timeout, resources, not ready: this time only
_LOST = {
    1: "NVML was shut down", 9: "the driver was unloaded", 15: "the device was lost (it fell off the bus)",
    16: "the device needs a reset", 18: "the driver was replaced under a running NVML",
}  # fmt: skip
_SHARE = (
    0.1  # sampling takes at most this share of the wrapper's time, however slow a driver answers
)


class NvmlSampler:
    """Samples one device for one launch: `baseline()`, `sample(pids)` while it runs, `finish(events)`.

    Starts no thread and never raises for what NVML does: a reading that the device does not offer is not
    asked for again, and a device that is lost ends every series with a note. `notes` says so in words.
    """

    def __init__(
        self, gpu: Gpu, nvml: Any = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.notes: list[str] = []
        self._gpu, self._clock = gpu, clock
        self._samples: list[Sample] = []
        self._baseline: Sample | None = None
        self._absent: set[str] = set()
        self._next_s = -math.inf
        self._power_source = "instant"
        self._nvml = start_nvml(nvml)
        self._handle: Any = None
        if self._nvml is None:
            self.notes.append("no NVML: no GPU counters")
            return
        try:
            self._handle = self._nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)
        except self._nvml.NVMLError as e:
            self._end(e)

    def baseline(self) -> None:
        """Look at the device before the launch: memory, power and processes that are not its own."""
        self._baseline = self._read(frozenset())

    @property
    def is_due(self) -> bool:
        """Whether `sample` would take one now."""
        return self._handle is not None and self._clock() >= self._next_s

    def sample(self, pids: frozenset[int]) -> None:
        """Take one sample; `pids` are the launch's own processes as the wrapper numbers them."""
        if not self.is_due:
            return
        taken = self._read(pids)
        if taken is not None:
            self._samples.append(taken)
            cost_s = self._clock() - taken.at_s
            self._next_s = taken.at_s + cost_s / _SHARE

    def finish(self, events: Sequence[Event]) -> tuple[GpuMemory | None, GpuCounters | None]:
        """Lay the samples against the worker's stages and its timed window; None where there are none."""
        seen, said = summarise_memory(self._samples, self._baseline, events)
        self.notes.extend(said)
        counted, said = summarise_counters(
            self._samples, self._baseline, events, self._gpu.board_limit_w, self._power_source
        )
        self.notes.extend(said)
        return seen, counted

    def _read(self, pids: frozenset[int]) -> Sample | None:
        n = self._nvml
        if self._handle is None or n is None:
            return None
        at_s = self._clock()
        reading = _Reading(self, self._handle)
        processes = reading.query("processes", n.nvmlDeviceGetComputeRunningProcesses)
        info = reading.query("memory", n.nvmlDeviceGetMemoryInfo)
        energy_mj = reading.query("energy", n.nvmlDeviceGetTotalEnergyConsumption)
        power_mw = self._power(reading)
        sm_mhz = reading.query("sm", lambda h: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM))
        memory_mhz = reading.query(
            "clock", lambda h: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM)
        )
        celsius = reading.query(
            "temperature", lambda h: n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU)
        )
        reasons = reading.query("reasons", _reasons_of(n))
        if self._handle is None:  # lost in between: what was read last is not believed
            return None
        return Sample(
            at_s=at_s,
            used_mib=None if info is None else info.used / MIB,
            process_mib=tuple((int(p.pid), _mib(p.usedGpuMemory)) for p in processes or ()),
            own=pids,
            energy_mj=energy_mj,
            power_w=None if power_mw is None else power_mw / 1000,
            sm_mhz=sm_mhz,
            memory_mhz=memory_mhz,
            celsius=None if celsius is None else float(celsius),
            reasons=reasons,
        )

    def _power(self, reading: "_Reading") -> int | None:
        """Milliwatts now; on boards that only tell it, the mean over the last second."""
        n = self._nvml

        def instant(handle: Any) -> int:
            value = n.nvmlDeviceGetFieldValues(handle, [n.NVML_FI_DEV_POWER_INSTANT])[0]
            if value.nvmlReturn:
                raise n.NVMLError(value.nvmlReturn)
            return int(value.value.uiVal)

        if (got := reading.query("instant power", instant)) is not None:
            return int(got)
        got = reading.query("power", n.nvmlDeviceGetPowerUsage)
        if got is not None and "instant power" in self._absent:
            self._power_source = "board"
        return None if got is None else int(got)

    def _end(self, error: Exception) -> None:
        """Nothing more can be read: every series ends here."""
        self._handle = None
        code = getattr(error, "value", None)
        said = _LOST.get(code, f"NVML failed: {error}") if isinstance(code, int) else str(error)
        self.notes.append(f"GPU counters end early: {said}")


@dataclass(frozen=True)
class _Reading:
    """One round of questions, in which the first fatal answer silences the rest."""

    sampler: NvmlSampler
    handle: Any

    def query(self, what: str, question: Callable[[Any], Any]) -> Any:
        s = self.sampler
        if s._handle is None or what in s._absent:
            return None
        try:
            return question(self.handle)
        except s._nvml.NVMLError as e:
            code = getattr(e, "value", None)
            if code in _ABSENT:
                s._absent.add(what)
            elif code not in _PASSING:
                s._end(e)
            return None
        except AttributeError:  # an older NVML binding lacks the function
            s._absent.add(what)
            return None


def _reasons_of(library: Any) -> Callable[[Any], int]:
    """NVML renamed throttle reasons to clock-event reasons in driver 535; either is asked."""
    new = getattr(library, "nvmlDeviceGetCurrentClocksEventReasons", None)
    old = getattr(library, "nvmlDeviceGetCurrentClocksThrottleReasons", None)

    def query(handle: Any) -> int:
        if new is not None:
            try:
                return int(new(handle))
            except library.NVMLError as e:
                if e.value != 13 or old is None:  # function not found: an older driver
                    raise
        if old is None:
            raise AttributeError("nvmlDeviceGetCurrentClocksThrottleReasons")
        return int(old(handle))

    return query


def _mib(used: int | None) -> float | None:
    return None if used is None else used / MIB
