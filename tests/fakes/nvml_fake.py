"""A fake of NVIDIA's NVML binding (a library we do not own): two boards whose driver misbehaves on demand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class FakeNVMLError(Exception):
    """As pynvml's NVMLError: `value` is the return code."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML return code {value}")
        self.value = value


@dataclass
class FakeNvml:
    """The functions of pynvml that are called, on a clock of its own."""

    now_s: float = 100.0
    boards: int = 1
    power_w: Callable[[float], float] = lambda _now: 100.0
    energy_start_mj: int = 1_000_000
    energy_bits: int = 64
    energy_reset_at_s: float | None = None
    energy_step_s: float = 0.02  # the counter is refreshed this often
    used_mib: Callable[[float], float] = lambda _now: 500.0
    processes: Callable[[float], Mapping[int, float | None]] = lambda _now: {}
    reasons: Callable[[float], int] = lambda _now: 0
    errors: dict[str, int] = field(default_factory=dict)  # function -> code it always returns
    lost_at_s: float | None = None
    lost_code: int = 15
    cost_s: float = 0.0  # the time each call takes
    calls: list[str] = field(default_factory=list)

    NVMLError = FakeNVMLError
    NVML_CLOCK_SM = 1
    NVML_CLOCK_MEM = 2
    NVML_TEMPERATURE_GPU = 0
    NVML_FI_DEV_POWER_INSTANT = 186

    def clock(self) -> float:
        return self.now_s

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A function of NVML: it takes its time, is counted, and fails as it is told to."""
        if name not in ANSWERS:
            raise AttributeError(name)

        def call(*args: Any) -> Any:
            self.calls.append(name)
            self.now_s += self.cost_s
            for failing in (name, f"{name}{args[0] if args else ''}"):
                if failing in self.errors:
                    raise FakeNVMLError(self.errors[failing])
            if self.lost_at_s is not None and self.now_s >= self.lost_at_s:
                raise FakeNVMLError(self.lost_code)
            return ANSWERS[name](self, *args)

        return call

    def energy_mj(self) -> int:
        at = self.now_s // self.energy_step_s * self.energy_step_s
        start = self.energy_start_mj
        if self.energy_reset_at_s is not None and at >= self.energy_reset_at_s:
            at, start = at - self.energy_reset_at_s + 100.0, 0
        return int((start + round((at - 100.0) * self.power_w(at) * 1000)) % 2**self.energy_bits)

    def power_mw(self) -> int:
        return round(self.power_w(self.now_s) * 1000)

    def running(self) -> list[Any]:
        return [
            SimpleNamespace(pid=pid, usedGpuMemory=None if mib is None else int(mib * 2**20))
            for pid, mib in self.processes(self.now_s).items()
        ]

    def field(self, number: int) -> Any:
        code = self.errors.get(f"field{number}", 0)
        return SimpleNamespace(nvmlReturn=code, value=SimpleNamespace(uiVal=self.power_mw()))


ANSWERS: dict[str, Callable[..., Any]] = {
    "nvmlInit": lambda n: None,
    "nvmlSystemGetDriverVersion": lambda n: b"580.65.06",
    "nvmlSystemGetCudaDriverVersion_v2": lambda n: 13010,
    "nvmlDeviceGetCount": lambda n: n.boards,
    "nvmlDeviceGetHandleByIndex": lambda n, index: index,
    "nvmlDeviceGetHandleByUUID": lambda n, uuid: int(uuid.removeprefix("GPU-")[0]),
    "nvmlDeviceGetUUID": lambda n, board: f"GPU-{board}000".encode(),
    "nvmlDeviceGetName": lambda n, board: "Imaginary 100",
    "nvmlDeviceGetPciInfo": lambda n, board: SimpleNamespace(
        busId=f"00000000:{board + 1}B:00.0".encode()
    ),
    "nvmlDeviceGetEnforcedPowerLimit": lambda n, board: 700_000,
    "nvmlDeviceGetMemoryInfo": lambda n, board: SimpleNamespace(
        used=int(n.used_mib(n.now_s) * 2**20), total=80 * 2**30
    ),
    "nvmlDeviceGetComputeRunningProcesses": lambda n, board: n.running(),
    "nvmlDeviceGetTotalEnergyConsumption": lambda n, board: n.energy_mj(),
    "nvmlDeviceGetFieldValues": lambda n, board, fields: [n.field(fields[0])],
    "nvmlDeviceGetPowerUsage": lambda n, board: n.power_mw(),
    "nvmlDeviceGetClockInfo": lambda n, board, kind: {1: 1980, 2: 2619}[kind],
    "nvmlDeviceGetTemperature": lambda n, board, sensor: 61,
    "nvmlDeviceGetCurrentClocksEventReasons": lambda n, board: n.reasons(n.now_s),
    "nvmlDeviceGetCurrentClocksThrottleReasons": lambda n, board: n.reasons(n.now_s),
}
