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

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.now_s += self.cost_s
        if name in self.errors:
            raise FakeNVMLError(self.errors[name])
        if self.lost_at_s is not None and self.now_s >= self.lost_at_s:
            raise FakeNVMLError(self.lost_code)

    def nvmlInit(self) -> None:  # noqa: N802
        self._called("nvmlInit")

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        self._called("nvmlSystemGetDriverVersion")
        return b"580.65.06"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        self._called("nvmlSystemGetCudaDriverVersion_v2")
        return 13010

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._called("nvmlDeviceGetCount")
        return self.boards

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        self._called(f"nvmlDeviceGetHandleByIndex{index}")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        self._called("nvmlDeviceGetHandleByUUID")
        return int(uuid.removeprefix("GPU-")[0])

    def nvmlDeviceGetUUID(self, handle: int) -> bytes:  # noqa: N802
        return f"GPU-{handle}000".encode()

    def nvmlDeviceGetName(self, _handle: int) -> str:  # noqa: N802
        return "Imaginary 100"

    def nvmlDeviceGetEnforcedPowerLimit(self, _handle: int) -> int:  # noqa: N802
        self._called("nvmlDeviceGetEnforcedPowerLimit")
        return 700_000

    def nvmlDeviceGetMemoryInfo(self, _handle: int) -> Any:  # noqa: N802
        self._called("nvmlDeviceGetMemoryInfo")
        return SimpleNamespace(used=int(self.used_mib(self.now_s) * 2**20), total=80 * 2**30)

    def nvmlDeviceGetComputeRunningProcesses(self, _handle: int) -> list[Any]:  # noqa: N802
        self._called("nvmlDeviceGetComputeRunningProcesses")
        return [
            SimpleNamespace(pid=pid, usedGpuMemory=None if mib is None else int(mib * 2**20))
            for pid, mib in self.processes(self.now_s).items()
        ]

    def nvmlDeviceGetTotalEnergyConsumption(self, _handle: int) -> int:  # noqa: N802
        self._called("nvmlDeviceGetTotalEnergyConsumption")
        at = self.now_s // self.energy_step_s * self.energy_step_s
        start = self.energy_start_mj
        if self.energy_reset_at_s is not None and at >= self.energy_reset_at_s:
            at, start = at - self.energy_reset_at_s + 100.0, 0
        return int((start + round((at - 100.0) * self.power_w(at) * 1000)) % 2**self.energy_bits)

    def nvmlDeviceGetFieldValues(self, _handle: int, fields: list[int]) -> list[Any]:  # noqa: N802
        self._called("nvmlDeviceGetFieldValues")
        code = self.errors.get(f"field{fields[0]}", 0)
        value = SimpleNamespace(uiVal=round(self.power_w(self.now_s) * 1000))
        return [SimpleNamespace(nvmlReturn=code, value=value)]

    def nvmlDeviceGetPowerUsage(self, _handle: int) -> int:  # noqa: N802
        self._called("nvmlDeviceGetPowerUsage")
        return round(self.power_w(self.now_s) * 1000)

    def nvmlDeviceGetClockInfo(self, _handle: int, kind: int) -> int:  # noqa: N802
        self._called("nvmlDeviceGetClockInfo")
        return {1: 1980, 2: 2619}[kind]

    def nvmlDeviceGetTemperature(self, _handle: int, _sensor: int) -> int:  # noqa: N802
        self._called("nvmlDeviceGetTemperature")
        return 61

    def nvmlDeviceGetCurrentClocksEventReasons(self, _handle: int) -> int:  # noqa: N802
        self._called("nvmlDeviceGetCurrentClocksEventReasons")
        return self.reasons(self.now_s)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, _handle: int) -> int:  # noqa: N802
        self._called("nvmlDeviceGetCurrentClocksThrottleReasons")
        return self.reasons(self.now_s)
